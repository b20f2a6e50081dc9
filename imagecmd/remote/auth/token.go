package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer bounds what is read of a token server's answer, in bytes. A token must fit into
// a header, whose usual limit is 16 KiB, and may come twice.
const maxAnswer = 128 << 10

type tokenRequest struct {
	realm, registry *url.URL
	service         string
	scopes          []string
	cred            Credential
}

// fetch gets a token: with a password, or for nobody, by the distribution project's "Token
// Authentication Specification"; with a refresh token by its "OAuth 2.0".
func (c *Client) fetch(ctx context.Context, t tokenRequest) (string, error) {
	make := t.simple
	if t.cred.RefreshToken != "" {
		make = t.oauth
	}
	req, err := make(ctx, c.ID)
	if err != nil {
		return "", err
	}
	resp, err := c.sendToken(req, t.registry)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", c.Refused(resp)
	}
	defer resp.Body.Close()
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"` // the same by another name
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer)
	if err == nil && answer.AccessToken == "" {
		answer.AccessToken = answer.Token
	}
	if err == nil && answer.AccessToken == "" {
		err = errors.New("empty token returned")
	}
	if err != nil {
		return "", fmt.Errorf("token of %s: %w", t.realm.Redacted(), err)
	}
	return answer.AccessToken, nil
}

func (t tokenRequest) simple(ctx context.Context, _ string) (*http.Request, error) {
	to := *t.realm
	q := to.Query()
	if t.service != "" {
		q.Set("service", t.service)
	}
	for _, s := range t.scopes {
		q.Add("scope", s)
	}
	to.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err == nil && (t.cred.Username != "" || t.cred.Password != "") {
		req.SetBasicAuth(t.cred.Username, t.cred.Password)
	}
	return req, err
}

func (t tokenRequest) oauth(ctx context.Context, id string) (*http.Request, error) {
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {t.cred.RefreshToken},
		"service": {t.service}, "client_id": {id},
	}
	if len(t.scopes) > 0 {
		form.Set("scope", strings.Join(t.scopes, " "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.realm.String(), strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req, err
}
