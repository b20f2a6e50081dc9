package auth

// A Credential is who one is to a registry. The zero value is nobody.
type Credential struct {
	Username, Password string
	// RefreshToken stands for a user and a password, to a token server. Docker calls
	// it an identity token.
	RefreshToken string
	// AccessToken is sent to the registry as it is. Docker calls it a registry token.
	AccessToken string
}
