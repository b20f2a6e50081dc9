// Package remote speaks with registries: the OCI distribution specification as
// registries implement it, and Docker's search.
//
//	name ──Client.Pull, Client.Push──► Repository ──► endpoint (a mirror, the registry itself)
//	            │ registries.conf, certs.d               │ Head, Manifest, Document, Tags
//	            ▼                                        │ Fetch  ──► a Sink that knows how much it has
//	       scheme, TLS, proxy, credentials               │ HasBlob, Mount, Upload, Put
//	                                                     ▼
//	                                   one request: auth, stall timer, registry's errors
//
// Who is asked for a token, and with what, is package auth's. What is interrupted is
// resumed: a download with a Range, an upload where the registry says it ended.
//
// # Vocabulary
//
//   - endpoint: a repository on one host. A pull may have several, mirrors first;
//     the one that had the manifest is asked for the blobs first, too.
//   - stall: a connection on which nothing comes for stallLimit. It is given up
//     and made anew; that a transfer is slow is no error.
//
// # What is tried again
//
// Answers 408, 429 and 5xx, and connections that break, with pauses that double;
// as long as a transfer gets on, without end. A registry that can't be reached at
// all, or has never answered, is an error at once, as it is mostly a typing error.
//
// # TLS
//
// Certificates are verified. Additional roots and client certificates are taken
// from certs.d/HOST[:PORT] as Docker and podman do. Plain HTTP is for hosts on
// the loopback network that speak no TLS, and for those that registries.conf
// or TLSVerify say are insecure.
package remote
