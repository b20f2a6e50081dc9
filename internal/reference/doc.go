// Package reference reads the names of images by Docker's rules.
//
//	"debian" ─► ParseNormalizedNamed ─► docker.io/library/debian ─► FamiliarString ─► "debian"
//	                                             │ TagNameOnly
//	                                             ▼
//	                             docker.io/library/debian:latest
//
// The grammar, in which names, tags and errors are those of
// github.com/distribution/reference (v0.6.0):
//
//	reference  = name [":" tag] ["@" digest]
//	name       = [domain "/"] path
//	domain     = host [":" digits]
//	host       = label {"." label} | "[" hexadecimal digits and colons "]"
//	label      = letters, digits and dashes; no dash first or last
//	path       = component {"/" component}
//	component  = alphanumeric {separator alphanumeric}, in lower case
//	separator  = "." | "_" | "__" | "-" {"-"}
//	tag        = up to 128 of letters, digits, "_", "." and "-"; none of the last two first
//	digest     = algorithm ":" 32 or more hexadecimal digits
//
// That library is thirteen regular expressions, which every start of the program had to
// compile: 0.9 ms and 400 kB, of each of the three processes of a container, too. Here are
// none. The library is what the tests compare with.
//
// A name is immutable, and of one of four types: which of Tag and Digest it has is what
// [Tagged], [NamedTagged], [Digested] and [Canonical] tell.
package reference
