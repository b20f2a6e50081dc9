package contest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
)

// runEnv has this test binary be a benchmark, with the options that it holds.
const runEnv = "CFS_TEST_CONTEST"

func TestMain(m *testing.M) {
	runtime.Main(Stages())
	bench.Serve()
	if raw := os.Getenv(runEnv); raw != "" {
		var o Options
		err := json.Unmarshal([]byte(raw), &o)
		if err == nil {
			o.Progress = os.Stderr
			_, err = Run(context.Background(), o)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testenv.Isolate()
	os.Exit(m.Run())
}
