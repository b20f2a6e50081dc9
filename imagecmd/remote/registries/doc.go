// Package registries reads registries.conf, the file in which podman, buildah and
// skopeo are told where images come from (containers-registries.conf(5),
// version 2 of the format).
//
//	registries.conf, registries.conf.d/*.conf ──Load──► Config
//	                                                      │ Short: "debian" ─► docker.io/library/debian
//	                                                      ▼ Places: docker.io/library/debian ─► mirror.lan/hub/debian, …
//	                                                 host and repository, in the order to ask
//
// # Vocabulary
//
//   - short name: one without a registry, "debian" or "library/debian".
//   - alias: the full name of a short one.
//   - prefix: what a reference begins with, up to a slash, a colon or its end;
//     or "*.DOMAIN" for all hosts below a domain. The longest that fits counts.
//   - place: a host and a repository there: a mirror's, or the location itself.
//
// # What a short name is
//
// An alias, where there is one. Otherwise the registries of
// unqualified-search-registries are asked in their order. Without both, it is
// Docker's: docker.io, and "library/" before a single word.
package registries
