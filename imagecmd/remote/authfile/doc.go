// Package authfile keeps the credentials of registries where docker, podman and
// skopeo keep them.
//
//	login ──Put──► config.json or auth.json ◄── docker login, podman login
//	                 │   auths: in the file, base64
//	                 │   credHelpers, credsStore: in docker-credential-NAME
//	pull, push ◄─Get─┘
//	logout ──Delete──► all of them
//
// # Which files
//
// $REGISTRY_AUTH_FILE alone where it is set. Otherwise, in this order:
//
//	$DOCKER_CONFIG/config.json, else ~/.docker/config.json   Docker's
//	$XDG_RUNTIME_DIR/containers/auth.json                    podman's, until the next boot
//	$XDG_CONFIG_HOME/containers/auth.json                    podman's, for ever
//
// The first that knows a registry counts. Put writes into the first that is
// there, and makes Docker's where none is, or where $DOCKER_CONFIG says so.
//
// # Keys
//
// Docker Hub's is https://index.docker.io/v1/ for Docker and docker.io for podman;
// both are read. A key with a path (quay.io/team) is for the repositories below
// it, and the longest counts (containers-auth.json(5)). Old files have a scheme
// and a path around the host.
//
// # Invariants
//
//   - A file that others may read gets no secret (ErrExposed).
//   - A change is: lock the directory, read, write beside, fsync, rename. Two at
//     once are both kept, and so is what this package does not know. A symlink
//     stays one.
package authfile
