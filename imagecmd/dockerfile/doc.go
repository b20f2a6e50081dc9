// Package dockerfile reads Dockerfiles: it says what a build has to do, and does
// nothing itself. Bytes in, a plan out.
//
//	Dockerfile ──Parse──► File: stages as they are written
//	                        │ Plan: --target, --build-arg, platforms
//	                        ▼
//	                      Plan: the stages that the target needs, and on what each stands
//	                        │ a Scope per stage, while it is built
//	                        ▼
//	                      instructions with their variables put in
//
// The syntax is buildkit's, by its own parser and instructions packages; what
// they read and cfs does not do is refused by [Parse] or [File.Plan], by name.
//
// # Vocabulary
//
//   - stage: what begins with a FROM.
//   - target: the stage that a build is for, the last one unless another is asked for.
//   - global argument: an ARG before the first FROM. FROM lines see them, a stage
//     only those that it declares again.
//   - trigger: an instruction that an ONBUILD left in an image, for the build that
//     stands on it.
//   - source: what a FROM, a COPY --from or a RUN --mount from= names: a stage, a
//     build context, or an image.
//
// # Variables
//
// Which instructions expand variables, and how, is documented in Docker's
// Dockerfile reference, "Environment replacement"; buildkit's instructions know
// which of their words are meant, and its shell lexer the modifiers. An ENV
// always goes before an ARG of the same name.
package dockerfile
