// Package inflate decompresses DEFLATE (RFC 1951) and gzip (RFC 1952) streams.
// Most of the time in which a layer is brought in passes here, and the packages
// that are known take twice as long.
//
//	bufio.Reader ──► bits (64 of them) ──► tables ──► buffer: the last 32 KiB │ what is new ──► Read
//	   Peek: bytes are looked at where they are
//
// Two loops decode the same symbols: a fast one, as long as there are bytes for
// whole symbols ahead, that looks at nothing twice, and a careful one for
// headers and for the end of the input.
//
// # Vocabulary
//
//   - entry: what a table tells of the next bits: a literal, a length or
//     distance with the number of its extra bits, a further table, the end.
//   - slack: what the fast loop may write behind what it means to.
//
// # Invariants
//
//   - Between blocks, and whenever the fast loop isn't running, fewer than 8
//     bits are held: no byte behind the end of the stream is taken from the input.
//   - Whatever the input, memory is bounded by the size of a [Reader].
package inflate
