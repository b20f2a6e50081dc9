package auth

import (
	"slices"
	"strings"
)

// What one may do with a repository.
const (
	ActionPull = "pull"
	ActionPush = "push"
)

// ScopeCatalog is for the list of a registry's repositories.
const ScopeCatalog = "registry:catalog:*"

// ScopeRepository is for actions on a repository; none is the scope "".
func ScopeRepository(repository string, actions ...string) string {
	if repository == "" || len(actions) == 0 {
		return ""
	}
	return "repository:" + repository + ":" + strings.Join(actions, ",")
}

// mergeScopes makes of scopes those that say the same, each resource once, in the order of
// their text. What is no scope of a resource, as TYPE:NAME:ACTION,… is, stays as it is; a
// name may have colons. One without an action is none.
func mergeScopes(scopes ...string) []string {
	actions := map[string][]string{} // by TYPE:NAME:
	var out []string
	for _, s := range scopes {
		i := strings.LastIndexByte(s, ':')
		if i < 0 || strings.IndexByte(s, ':') == i {
			if s != "" {
				out = append(out, s)
			}
			continue
		}
		for a := range strings.SplitSeq(s[i+1:], ",") {
			if a != "" {
				actions[s[:i+1]] = append(actions[s[:i+1]], a)
			}
		}
	}
	for resource, list := range actions {
		if slices.Contains(list, "*") {
			list = []string{"*"}
		}
		slices.Sort(list)
		out = append(out, resource+strings.Join(slices.Compact(list), ","))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
