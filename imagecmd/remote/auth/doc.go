// Package auth answers the challenges of registries: with a password, or with a token
// that it gets from the token server that the registry names.
//
//	request ──Client.Do──► registry ──► anything but 401
//	              ▲            │ 401, WWW-Authenticate
//	              │            ▼
//	              └── Basic: user and password
//	              └── Bearer: a token, of the realm, for scopes, by the credential or by nobody's
//
// A token is kept for as long as the registry takes it, for the scopes that were asked
// for. Requests that need the same at the same time wait for one.
//
// # Vocabulary
//
//   - challenge: what a registry wants, as its answer 401 says (RFC 9110, 11.6.1).
//   - realm: the URL of the token server in a challenge.
//   - scope: what a token is for, "repository:library/debian:pull".
//
// # What a registry can't do
//
// It chooses the realm, and where a request is redirected to. So a realm is refused that
// is plain HTTP where the registry was not, or an address that only this machine, or the
// cloud it is in, should hear from; a password is not sent on to another origin than the
// one it was for, in a header or in a body; and a challenge from another origin is not
// answered.
//
// The protocol is that of the distribution project: its "Token Authentication
// Specification", and "OAuth 2.0" for tokens that identify a user.
package auth
