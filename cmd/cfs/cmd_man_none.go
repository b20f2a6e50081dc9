//go:build !man

package main

func manCommands() []command { return nil }
