// Package dockerlint checks a Dockerfile by BuildKit's rules, without building
// it: `build --check`.
//
//	Dockerfile ──parser──► instructions ──Check──► Result ──Print──► what `docker build --check` prints
//	                                        │
//	                             Options.Image: the config of a base image, if it is at hand
//
// The rules' names, texts and addresses are those of buildkit/frontend/dockerfile/linter,
// which raises the ones that concern a single line itself (StageNameCasing, FromAsCasing,
// MaintainerDeprecated, InvalidDefinitionDescription, with `instructions`). Where the others are
// raised is a matter of dockerfile2llb; here that is:
//
//	check.go     the way through a file; NoEmptyContinuation
//	file.go      ConsistentInstructionCasing, DuplicateStageName, ReservedStageName, InvalidDefaultArgInFrom
//	from.go      UndefinedArgInFrom, RedundantTargetPlatform, FromPlatformFlagConstDisallowed
//	stages.go    InvalidBaseImagePlatform; which stages there are, and what stands on what
//	commands.go  UndefinedVar, JSONArgsRecommended, WorkdirRelativePath, MultipleInstructionsDisallowed,
//	             LegacyKeyValueFormat, SecretsUsedInArgOrEnv, CopyIgnoredFile
//	expose.go    ExposeProtoCasing, ExposeInvalidFormat
//
// # Directives
//
// `# check=skip=RULE,…;experimental=RULE,…;error=true` at the head of a file holds for all
// of it, and as a comment before an instruction for that. The build argument
// BUILDKIT_DOCKERFILE_CHECK stands in place of the first.
//
// # Vocabulary
//
//   - warning: a rule that is broken, and where.
//   - failure: why the file can't be built. What was found before it is told, too.
//   - unknown image: a base image whose config is not at hand. Nothing is said then of what
//     depends on it: of variables that it could define, and of its platform.
package dockerlint
