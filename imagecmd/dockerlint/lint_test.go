package dockerlint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/buildcontext"
)

var amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}

// images has configs of a few base images.
func images(_ context.Context, name string, p ocispec.Platform) (*dockerspec.DockerOCIImage, error) {
	img := dockerspec.DockerOCIImage{Image: ocispec.Image{Platform: p}}
	switch name {
	case "alpine", "busybox", "busybox:latest":
	case "withenv":
		img.Config.Env = []string{"HAS=1"}
		img.Config.Shell = []string{"/bin/bash"}
		img.Config.OnBuild = []string{"COPY $nope /x"}
	case "arm":
		img.Architecture = "arm64"
	default:
		return nil, nil
	}
	return &img, nil
}

func options(t testing.TB, ignore string) Options {
	i, err := buildcontext.ParseIgnore(strings.NewReader(ignore))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Build: amd64, Platform: amd64, Image: images, Ignore: i}
}

// The cases are those of buildkit/frontend/dockerfile/dockerfile_lint_test.go, and some more.
func TestRules(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		args       map[string]string
		ignore     string
		target     string
		want       []string // LINE RULE: detail
		err        string
	}{
		{name: "descriptions", text: "# check=skip=all;experimental=InvalidDefinitionDescription\n# foo this is the foo\nARG foo=bar\n\n# base this is the base image\nFROM scratch AS base\n\n# version this is the version number\nARG version=latest\n\n# baz this is the baz\nARG foo=baz bar=qux baz=quux\n#\nARG bit=bat\n\n# comment for something other than ARG or FROM\nCOPY Dockerfile .\n"},
		{name: "bad descriptions", text: "# check=experimental=InvalidDefinitionDescription\n# bar this is the bar\nARG foo=bar\n# BasE this is the BasE image\nFROM scratch AS base\n# definitely a bad comment\nARG version=latest\n# definitely a bad comment\nARG foo=baz bar=qux baz=quux\n",
			want: []string{
				"3 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`",
				"5 InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>`",
				"7 InvalidDefinitionDescription: Comment for ARG should follow the format: `# version <description>`",
				"9 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
			}},
		{name: "ignored", ignore: "Dockerfile\n", text: "\nFROM scratch\nCOPY Dockerfile .\nADD Dockerfile /windy\n",
			want: []string{
				`3 CopyIgnoredFile: Attempting to Copy file "Dockerfile" that is excluded by .dockerignore`,
				`4 CopyIgnoredFile: Attempting to Add file "Dockerfile" that is excluded by .dockerignore`,
			}},
		{name: "ignored, skipped", ignore: "Dockerfile\n", text: "# check=skip=CopyIgnoredFile\n\nFROM scratch\nCOPY Dockerfile .\nADD Dockerfile /windy\n"},
		{name: "ignored, of a stage", ignore: "foobar\n", text: "FROM scratch AS base\nCOPY Dockerfile /foobar\nADD Dockerfile /windy\nFROM base\nCOPY --from=base /foobar /Dockerfile\n"},
		{name: "ignored, but for it", ignore: "**\n!Dockerfile\n", text: "FROM scratch\nCOPY ./Dockerfile .\nCOPY . .\n"},
		{name: "ignored, a URL", ignore: "**\n", text: "FROM scratch\nADD https://x/y git@h:z /d/\n"},
		{name: "secrets", text: "# check=skip=InvalidDefinitionDescription\n\nFROM scratch\nARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\nENV password=bar secret=baz\nARG super_duper_secret_token=foo auth=bar\nENV apikey=bar sunflower=foo\nENV git_key=\nENV PUBLIC_KEY=\nARG public_token\nARG SECRET_PASSPHRASE_FILE\nENV password_file=bar secret_File=baz\nARG AUTH_MODULE_VERSION\n# check=skip=SecretsUsedInArgOrEnv // allow secret in environment\nENV password=bar\n# check=skip=SecretsUsedInArgOrEnv // allow secret in arg\nARG password\n# check=skip=all // is local to only this instruction\nENV alternate_password=bar\n# check=skip=all // is local to only this instruction\nARG alternate_password\n",
			want: []string{
				`4 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "SECRET_PASSPHRASE")`,
				`5 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "SUPER_Secret")`,
				`6 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "password")`,
				`6 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "secret")`,
				`7 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "super_duper_secret_token")`,
				`7 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "auth")`,
				`8 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "apikey")`,
				`9 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "git_key")`,
			}},
		{name: "all stages", text: "FROM scratch AS first\nCOPY $foo .\n\nFROM scratch AS second\nCOPY $bar .\n",
			want: []string{"2 UndefinedVar: Usage of undefined variable '$foo'", "5 UndefinedVar: Usage of undefined variable '$bar'"}},
		{name: "those of a target", target: "second", text: "FROM scratch AS first\nCOPY $foo .\n\nFROM scratch AS second\nCOPY $bar .\n",
			want: []string{"5 UndefinedVar: Usage of undefined variable '$bar'"}},
		{name: "no target", target: "secnd", text: "FROM scratch AS second\n", err: `target stage "secnd" could not be found (did you mean second?)`},
		{name: "skip all", text: "#check=skip=all\nFROM scratch as base\ncopy Dockerfile .\n"},
		{name: "skip all, error", text: "#check=skip=all;error=true\nFROM scratch as base\ncopy Dockerfile .\n"},
		{name: "skip two", text: "#check=skip=ConsistentInstructionCasing,FromAsCasing;error=true\nFROM scratch as base\ncopy Dockerfile .\n"},
		{name: "skip one", text: "#check=skip=ConsistentInstructionCasing\nFROM scratch as base\ncopy Dockerfile .\n",
			want: []string{"2 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"}},
		{name: "error", text: "#check=skip=ConsistentInstructionCasing;error=true\nFROM scratch as base\ncopy Dockerfile .\n",
			want: []string{"2 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"}, err: "lint violation found for rules: FromAsCasing"},
		{name: "the build argument", args: map[string]string{checkArg: "skip=ConsistentInstructionCasing;error=true"}, text: "#check=skip=all\nFROM scratch as base\ncopy Dockerfile .\n",
			want: []string{"2 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"}, err: "lint violation found for rules: FromAsCasing"},
		{name: "the build argument skips", args: map[string]string{checkArg: "skip=all"}, text: "#check=error=true\nFROM scratch as base\ncopy Dockerfile .\n"},
		{name: "a bad directive", text: "#check=nonsense\nFROM scratch\n", err: `failed to parse check options: invalid check option "nonsense"`},
		{name: "stage names", text: "FROM scratch AS BadStageName\nFROM scratch as base2\nFROM scratch AS base3\n",
			want: []string{"1 StageNameCasing: Stage name 'BadStageName' should be lowercase", "2 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"}},
		{name: "AS of from", text: "from scratch AS base\nfrom scratch as base2\n", want: []string{"1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"}},
		{name: "continuation", text: "\nFROM scratch\n# warning: empty continuation line\nCOPY Dockerfile \\\n\n.\nCOPY Dockerfile \\\n.\n",
			want: []string{"6 NoEmptyContinuation: Empty continuation line"}},
		{name: "casing", text: "From scratch as base\nFROM scratch AS base2\n",
			want: []string{"1 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase)"}},
		{name: "casing of one", text: "FROM scratch\ncopy Dockerfile /foo\nCOPY Dockerfile /bar\n",
			want: []string{"2 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)"}},
		{name: "casing, lower", text: "frOM scratch as base\nfrom scratch as base2\n",
			want: []string{"1 ConsistentInstructionCasing: Command 'frOM' should match the case of the command majority (lowercase)"}},
		{name: "casing of FROM", text: "FROM scratch\ncopy a /foo\ncopy a /bar\ncopy a /baz\n",
			want: []string{"1 ConsistentInstructionCasing: Command 'FROM' should match the case of the command majority (lowercase)"}},
		{name: "casing, all lower", text: "from scratch\ncopy Dockerfile /foo\ncopy Dockerfile /bar\n"},
		{name: "casing, a here-document", text: "FROM alpine\nRUN <<'EOT'\nenv\nEOT\n"},
		{name: "duplicate", text: "FROM scratch AS b\nFROM scratch AS b\n", want: []string{`2 DuplicateStageName: Duplicate stage name "b", stage names should be unique`}},
		{name: "reserved", text: "FROM scratch AS scratch\nFROM scratch AS context\n",
			want: []string{`1 ReservedStageName: Stage name should not use the same name as reserved stage "scratch"`, `2 ReservedStageName: Stage name should not use the same name as reserved stage "context"`}},
		{name: "not reserved", text: "FROM scratch\nFROM scratch AS a\n"},
		{name: "JSON", text: "FROM scratch\nCMD mycommand\nENTRYPOINT mycommand\n",
			want: []string{
				"2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
				"3 JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals",
			}},
		{name: "JSON, a shell", text: "FROM scratch AS base\nSHELL [\"/usr/bin/customshell\"]\nFROM base\nCMD mycommand\nENTRYPOINT mycommand\nFROM withenv\nCMD x\nARG nope=1\n",
			want: []string{"6 UndefinedVar: Usage of undefined variable '$nope'"}},
		{name: "JSON, skipped", text: "FROM scratch\n# check=skip=JSONArgsRecommended\nCMD mycommand\n# check=skip=JSONArgsRecommended\nENTRYPOINT mycommand\n"},
		{name: "maintainer", text: "FROM scratch\nMAINTAINER me@example.org\n", want: []string{"2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"}},
		{name: "maintainer, skipped", text: "FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me@example.org\n"},
		{name: "warnings before an error", text: "\nFROM scratch AS BadStageName\nMAINTAINER me@example.org\nBADCMD\n",
			want: []string{"2 StageNameCasing: Stage name 'BadStageName' should be lowercase", "3 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"},
			err:  "dockerfile parse error on line 4: unknown instruction: BADCMD"},
		{name: "FROM of an ARG", text: "ARG base=scratch\nFROM $base\nCOPY Dockerfile .\n"},
		{name: "FROM, given platform", text: "ARG BUILDPLATFORM=linux/amd64\nFROM --platform=$BUILDPLATFORM scratch\n"},
		{name: "FROM, predefined", text: "FROM --platform=$BUILDPLATFORM scratch\n"},
		{name: "FROM, without a value", text: "ARG DEBUG\nFROM scratch${DEBUG}\nCOPY Dockerfile .\n"},
		{name: "FROM, a default", text: "ARG DEBUG\nFROM scra${DEBUG:-tch}\n"},
		{name: "FROM, an empty value", text: "ARG DEBUG=\"\"\nFROM scratch${DEBUG-@bogus}\n"},
		{name: "FROM, misspelt platform", text: "FROM --platform=$BULIDPLATFORM scratch\n",
			want: []string{"1 UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)"},
			err:  "empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)"},
		{name: "FROM, misspelt part", text: "ARG MY_OS=linux\nARG MY_ARCH=amd64\nFROM --platform=linux/${MYARCH} busybox\n",
			want: []string{"3 UndefinedArgInFrom: FROM argument 'MYARCH' is not declared (did you mean MY_ARCH?)"},
			err:  "failed to parse platform linux/${MYARCH}: invalid platform \"linux/\": it is OS/ARCH[/VARIANT], such as linux/arm64 (did you mean MY_ARCH?)"},
		{name: "FROM, undeclared", text: "ARG tag=latest\nFROM busybox:${tag}${version} AS b\n", want: []string{"2 UndefinedArgInFrom: FROM argument 'version' is not declared"}},
		{name: "FROM, blank", text: "ARG x\nFROM $x\n", want: []string{"2 InvalidDefaultArgInFrom: Default value for ARG $x results in empty or invalid base image name"}, err: "base name ($x) should not be blank"},
		{name: "FROM, no name", text: "FROM busybox:\n", want: []string{"1 InvalidDefaultArgInFrom: Default value for ARG busybox: results in empty or invalid base image name"}, err: `failed to parse stage name "busybox:": invalid reference format`},
		{name: "workdir", text: "FROM scratch\nWORKDIR app/\nWORKDIR more\n", want: []string{`2 WorkdirRelativePath: Relative workdir "app/" can have unexpected results if the base image changes`}},
		{name: "workdir of the base", text: "FROM scratch AS a\nWORKDIR /app\nFROM a AS b\nWORKDIR subdir/\n"},
		{name: "workdir, skipped", text: "FROM scratch\n# check=skip=WorkdirRelativePath\nWORKDIR app/\n"},
		{name: "an ARG without a value", text: "FROM scratch\nARG foo\nCOPY Dockerfile${foo} .\n"},
		{name: "an ARG of the base", text: "FROM alpine AS base\nARG foo=Dockerfile\nFROM base\nCOPY $foo .\n"},
		{name: "a shell's variables", text: "FROM alpine\nRUN echo $PATH $whatever\n"},
		{name: "an ARG too late", text: "FROM alpine\nCOPY $foo .\nARG foo=bar\nRUN echo $foo\n", want: []string{"2 UndefinedVar: Usage of undefined variable '$foo'"}},
		{name: "nearly one", text: "FROM alpine\nARG DIR_BINARIES=binaries/\nARG DIR_ASSETS=assets/\nARG DIR_CONFIG=config/\nCOPY $DIR_ASSET .\n",
			want: []string{"5 UndefinedVar: Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)"}},
		{name: "nearly PATH", text: "FROM alpine\nENV PATH=$PAHT:/tmp/bin\n", want: []string{"2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"}},
		{name: "the image's", text: "FROM withenv\nENV x=$HAS y=$HASNT\n", want: []string{"1 UndefinedVar: Usage of undefined variable '$nope'", "2 UndefinedVar: Usage of undefined variable '$HASNT' (did you mean $HAS?)"}},
		{name: "an image that isn't at hand", text: "FROM faraway\nENV x=$HAS\nCOPY $x $y /z/\n"},
		{name: "a global ARG must be named again", text: "ARG g=1\nFROM scratch\nENV x=$g\nARG g\nENV y=$g\n", want: []string{"3 UndefinedVar: Usage of undefined variable '$g'"}},
		{name: "a here-document's", text: "FROM scratch\nCOPY <<EOF /a\n$nope\nEOF\nCOPY <<'EOF' /b\n$nope\nEOF\n", want: []string{"2 UndefinedVar: Usage of undefined variable '$nope'"}},
		{name: "once", text: "FROM scratch\nENTRYPOINT [\"/myapp\"]\nENTRYPOINT [\"/myotherapp\"]\nCMD [\"/myapp\"]\nCMD [\"/myotherapp\"]\nHEALTHCHECK CMD [\"/myapp\"]\nHEALTHCHECK CMD [\"/myotherapp\"]\n",
			want: []string{
				"2 MultipleInstructionsDisallowed: Multiple ENTRYPOINT instructions should not be used in the same stage because only the last one will be used",
				"4 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
				"6 MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used",
			}},
		{name: "once a stage", text: "FROM scratch AS a\nCMD [\"/myapp\"]\nFROM a AS b\nCMD [\"/myotherapp\"]\n"},
		{name: "legacy", text: "FROM scratch\nENV testkey value\nLABEL key value\n",
			want: []string{
				`2 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format`,
				`3 LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format`,
			}},
		{name: "legacy, skipped", text: "FROM scratch\n# check=skip=LegacyKeyValueFormat\nENV testkey value\n# check=skip=LegacyKeyValueFormat\nLABEL key value\n"},
		{name: "redundant", text: "FROM --platform=$TARGETPLATFORM scratch\nFROM --platform=${TARGETPLATFORM} scratch\n",
			want: []string{
				"1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
				"2 RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
			}},
		{name: "redundant, skipped", text: "# check=skip=RedundantTargetPlatform\nFROM --platform=$TARGETPLATFORM scratch\n"},
		{name: "invalid default", args: map[string]string{"VERSION": "latest"}, text: "ARG VERSION\nFROM busybox:$VERSION\n",
			want: []string{"2 InvalidDefaultArgInFrom: Default value for ARG busybox:$VERSION results in empty or invalid base image name"}},
		{name: "invalid default, all", args: map[string]string{"IMAGE": "busybox:latest"}, text: "ARG IMAGE\nFROM $IMAGE\n",
			want: []string{"2 InvalidDefaultArgInFrom: Default value for ARG $IMAGE results in empty or invalid base image name"}},
		{name: "invalid default, part", args: map[string]string{"SFX": "box:latest"}, text: "ARG SFX=\"box:\"\nFROM busy${SFX}\n",
			want: []string{"2 InvalidDefaultArgInFrom: Default value for ARG busy${SFX} results in empty or invalid base image name"}},
		{name: "valid default", args: map[string]string{"VERSION": "latest"}, text: "ARG VERSION=\"latest\"\nFROM busybox:${VERSION}\n"},
		{name: "valid empty default", args: map[string]string{"V": "-musl"}, text: "ARG V\nFROM busybox:stable${V}\n"},
		{name: "constant platform", text: "FROM --platform=linux/amd64 scratch\n", want: []string{`1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"`}},
		{name: "constant platform by name", text: "FROM --platform=linux/amd64 scratch AS my_amd64_stage\nFROM --platform=linux/amd64 scratch AS linux\n"},
		{name: "another platform", text: "FROM arm\n", want: []string{`1 InvalidBaseImagePlatform: Base image arm was pulled with platform "linux/arm64", expected "linux/amd64" for current build`}},
		{name: "protocols", text: "FROM scratch\nEXPOSE 80/TcP 8080/TCP 8080/udp\n",
			want: []string{"2 ExposeProtoCasing: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase", "2 ExposeProtoCasing: Defined protocol '8080/TCP' in EXPOSE instruction should be lowercase"}},
		{name: "ports", text: "FROM scratch\nEXPOSE 127.0.0.1:80:80 [::1]:8080:8080 5000:5000 8000\n",
			want: []string{
				"2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
				"2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '5000:5000'",
				"2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '[::1]:8080:8080'",
			}},
		{name: "a bad protocol", text: "FROM scratch\nEXPOSE 80/icmp\n", err: `invalid port: "80/icmp": invalid proto: icmp`},
		{name: "nothing", text: "", err: "the Dockerfile cannot be empty"},
		{name: "no stage", text: "# nothing\n", err: "file with no instructions"},
		{name: "a stage that comes later", text: "FROM scratch AS a\nCOPY --from=b x y\nFROM scratch AS b\n", err: `cannot copy from stage "b", it needs to be defined before current stage "a"`},
		{name: "a trigger's stage, that the target doesn't name", target: "b", text: "FROM scratch AS x\nFROM scratch AS a\nONBUILD COPY --from=x y z\nFROM a AS b\n"},
		{name: "a circle", text: "FROM scratch AS a\nCOPY --from=b x y\nFROM scratch AS b\nCOPY --from=a x y\n", err: "circular dependency detected on stage: a"},
		{name: "--from of a variable", text: "FROM scratch\nCOPY --from=$x a b\n", err: "variable expansion is not supported for --from"},
		{name: "a bad expansion", text: "FROM scratch\nENV x=${y\n", err: "failed to process \"${y\": unsupported modifier"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(t, tc.ignore)
			o.BuildArgs, o.Target = tc.args, tc.target
			r, err := Check(context.Background(), []byte(tc.text), o)
			if err != nil {
				t.Fatal(err)
			}
			if (r.Failure == nil) != (tc.err == "") || r.Failure != nil && !strings.Contains(r.Failure.Error(), tc.err) {
				t.Errorf("failure %v, want %s", r.Failure, tc.err)
			}
			var got []string
			for _, w := range r.Warnings {
				got = append(got, fmt.Sprintf("%d %s: %s", firstLine(w.Location), w.Rule, w.Detail))
				if w.Description == "" || w.URL == "" && w.Rule != "InvalidBaseImagePlatform" {
					t.Errorf("%s has description %q and address %q", w.Rule, w.Description, w.URL)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if r.Broken() != (len(got) > 0 || tc.err != "") {
				t.Errorf("broken: %t", r.Broken())
			}
		})
	}
}

func TestPrint(t *testing.T) {
	for name, text := range map[string]string{
		"none":    "FROM scratch\n",
		"one":     "FROM scratch\nCMD echo hi\n",
		"several": "FROM scratch AS Big\nMAINTAINER me\nRUN a \\\n  b\n\nENV a b\nENV c=d\nENV e=f\n",
		"failure": "FROM scratch AS Big\nBADCMD x\n",
		"error":   "# check=error=true\nFROM scratch AS Big\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Check(context.Background(), []byte(text), options(t, ""))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := r.Print(&b); err != nil {
				t.Fatal(err)
			}
			if err := r.Err(); err != nil {
				fmt.Fprintf(&b, "ERROR: %v\n", err)
			}
			want, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

// Whatever a Dockerfile says, a check ends, and its lines are lines of the file.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{
		"FROM scratch AS Big\nMAINTAINER me\n", "ARG x=$y\nFROM ${x:-a} AS b\nFROM b\nCOPY --from=0 $z <<E /\n$q\nE\n", "#check=error=true\nfrom a\nRUN --mount=from=b,target=/x y\n",
		"# escape=`\nFROM a\nEXPOSE $x/TCP 1:2:3\n", "FROM a AS a\nFROM a AS a\nCOPY --from=a . .\n", "FROM withenv\nONBUILD RUN x\nFROM --platform=$TARGETPLATFORM x\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Check(context.Background(), []byte(text), options(t, "*.o\n"))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range r.Warnings {
			if l := firstLine(w.Location); l < 1 || l > strings.Count(text, "\n")+1 {
				t.Errorf("%q: %s on line %d", text, w.Rule, l)
			}
		}
		if err := r.Print(&strings.Builder{}); err != nil {
			t.Error(err)
		}
		if (r.Err() == nil) != (r.Failure == nil) {
			t.Errorf("%v of %v", r.Err(), r.Failure)
		}
	})
}
