package imagecmd

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

func TestChange(t *testing.T) {
	const before = `{"Env":["PATH=/bin","A=a"],"Cmd":["sh"],"WorkingDir":"/w","Labels":{"l":"1"}}`
	for _, tc := range []struct {
		what, lines, want string
	}{
		{"nothing", ``, before},
		{"what docker committed", "ENV A=b\nCMD [\"ls\"]\nEXPOSE 8080",
			`{"ExposedPorts":{"8080/tcp":{}},"Env":["PATH=/bin","A=b"],"Cmd":["ls"],"WorkingDir":"/w","Labels":{"l":"1"}}`},
		{"variables are the configuration's", `ENV PATH=/x:$PATH B="${A} c" C=${NO:-d}` + "\nENV D=$B",
			`{"Env":["PATH=/x:/bin","A=a","B=a c","C=d","D=a c"],"Cmd":["sh"],"WorkingDir":"/w","Labels":{"l":"1"}}`},
		{"the old form of ENV", "ENV X two words", `{"Env":["PATH=/bin","A=a","X=two words"],"Cmd":["sh"],"WorkingDir":"/w","Labels":{"l":"1"}}`},
		{"a command for the shell", "CMD ls -l | cat", `{"Env":["PATH=/bin","A=a"],"Cmd":["/bin/sh","-c","ls -l | cat"],"WorkingDir":"/w","Labels":{"l":"1"}}`},
		{"another shell", "SHELL [\"/bin/bash\", \"-ec\"]\nENTRYPOINT run $A",
			`{"Env":["PATH=/bin","A=a"],"Entrypoint":["/bin/bash","-ec","run $A"],"WorkingDir":"/w","Labels":{"l":"1"},"Shell":["/bin/bash","-ec"]}`},
		{"an entrypoint takes the command away", `ENTRYPOINT ["/e"]`, `{"Env":["PATH=/bin","A=a"],"Entrypoint":["/e"],"WorkingDir":"/w","Labels":{"l":"1"}}`},
		{"but not one of the same changes", "CMD [\"x\"]\nENTRYPOINT [\"/e\"]",
			`{"Env":["PATH=/bin","A=a"],"Entrypoint":["/e"],"Cmd":["x"],"WorkingDir":"/w","Labels":{"l":"1"}}`},
		{"no entrypoint", "ENTRYPOINT []", before},
		{"labels", `LABEL l=2 "m n"="$A"`, `{"Env":["PATH=/bin","A=a"],"Cmd":["sh"],"WorkingDir":"/w","Labels":{"l":"2","m n":"a"}}`},
		{"directories", "WORKDIR sub\nWORKDIR $A/../x\nVOLUME /data /e\nVOLUME [\"/b c\"]",
			`{"Env":["PATH=/bin","A=a"],"Cmd":["sh"],"Volumes":{"/b c":{},"/data":{},"/e":{}},"WorkingDir":"/w/sub/x","Labels":{"l":"1"}}`},
		{"an absolute directory", "WORKDIR /x/../y/", `{"Env":["PATH=/bin","A=a"],"Cmd":["sh"],"WorkingDir":"/y","Labels":{"l":"1"}}`},
		{"ports", "EXPOSE 53/UDP 80-82 $A", ``},
		{"port ranges", "EXPOSE 53/UDP 80-82 9/sctp",
			`{"ExposedPorts":{"53/udp":{},"80/tcp":{},"81/tcp":{},"82/tcp":{},"9/sctp":{}},"Env":["PATH=/bin","A=a"],"Cmd":["sh"],"WorkingDir":"/w","Labels":{"l":"1"}}`},
		{"the rest", "USER u:g\nSTOPSIGNAL SIGRTMIN+3\nHEALTHCHECK --interval=5s --retries=2 CMD true\nONBUILD RUN x $A",
			`{"User":"u:g","Env":["PATH=/bin","A=a"],"Cmd":["sh"],"WorkingDir":"/w","Labels":{"l":"1"},"StopSignal":"SIGRTMIN+3",` +
				`"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":2},"OnBuild":["RUN x $A"]}`},
	} {
		t.Run(tc.what, func(t *testing.T) {
			var cfg dockerspec.DockerOCIImageConfig
			if err := json.Unmarshal([]byte(before), &cfg); err != nil {
				t.Fatal(err)
			}
			var lines []string
			if tc.lines != "" {
				lines = strings.Split(tc.lines, "\n")
			}
			err := change(&cfg, lines)
			if (err != nil) != (tc.want == "") {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			got, err := json.Marshal(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Docker's words where it has some, and never a panic or a silent success.
func TestChangeRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"RUN x":                   "run is not a valid change command",
		"FOO x":                   "foo is not a valid change command",
		"FROM x":                  "from is not a valid change command",
		"COPY a b":                "copy is not a valid change command",
		"":                        "no instructions",
		"ENV":                     "ENV requires at least one argument",
		"ENV A=${":                "change",
		"EXPOSE x":                `invalid port "x"`,
		"EXPOSE 0":                "invalid port",
		"EXPOSE 70000":            "invalid port",
		"EXPOSE 9-8":              "invalid port",
		"EXPOSE 80:80":            "invalid port",
		"EXPOSE 80/icmp":          "none of tcp, udp and sctp",
		"STOPSIGNAL SIGNO":        "invalid signal: SIGNO",
		"STOPSIGNAL 65":           "invalid signal: 65",
		"STOPSIGNAL SIGRTMIN-1":   "invalid signal",
		"STOPSIGNAL SIGRTMAX-31":  "invalid signal",
		"STOPSIGNAL RTMINX":       "invalid signal",
		`VOLUME [""]`:             "empty string",
		"USER":                    "USER requires exactly one argument",
		"WORKDIR":                 "WORKDIR requires exactly one argument",
		"SHELL sh":                "SHELL requires the arguments to be in JSON form",
		"HEALTHCHECK nonsense":    "HEALTHCHECK",
		"HEALTHCHECK --x=1 CMD y": "unknown flag",
		"ONBUILD ONBUILD RUN x":   "Chaining ONBUILD",
	} {
		var cfg dockerspec.DockerOCIImageConfig
		err := change(&cfg, []string{line})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

func FuzzChange(f *testing.F) {
	for _, s := range []string{"ENV A=b $A", "EXPOSE 1-3/udp", "STOPSIGNAL SIGRTMAX-", "HEALTHCHECK --interval=1h CMD [\"x\"]", "# escape=`\nENV A=`$B", "ENV A=<<E\nE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		cfg := dockerspec.DockerOCIImageConfig{}
		cfg.Env = []string{"A=a", "B"}
		if change(&cfg, []string{line}) != nil {
			return
		}
		if cfg.WorkingDir != "" && cfg.WorkingDir[0] != '/' {
			t.Errorf("%q: working directory %q", line, cfg.WorkingDir)
		}
		if _, err := json.Marshal(cfg); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	})
}
