// Gives the endpoint picker's recorders the numbers of a pool with three requests inside, two that
// flow control holds back, and one that ended, as its handlers do, and writes its registry.
package main

import (
	"context"
	"log"
	"os"
	"time"

	picker "github.com/llm-d/llm-d-router/pkg/epp/metrics"
	"github.com/prometheus/common/expfmt"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

func main() {
	picker.Register()
	picker.RecordInferencePoolAvgKVCache("pool", 0.25)
	picker.RecordInferencePoolAvgQueueSize("pool", 1)
	ctx, start := context.Background(), time.Now()
	picker.RecordRequestCounter("tiny", "tiny", "alice", 0)
	picker.RecordRequestLatencies(ctx, "tiny", "tiny", "alice", "0", start, start.Add(time.Second))
	picker.RecordRequestTTFT(ctx, "tiny", "tiny", "alice", "0", true, start, start.Add(300*time.Millisecond))
	picker.RecordInterTokenLatency(ctx, "tiny", "tiny", "alice", "0", 0.02)
	picker.RecordInputTokens("tiny", "tiny", "alice", "0", 100)
	picker.RecordOutputTokens("tiny", "tiny", "alice", "0", 11)
	for range 3 {
		picker.IncRunningRequests("tiny", "tiny", "alice", "0")
	}
	picker.IncFlowControlQueueSize("alice", "0", "pool", "tiny", "tiny")
	picker.IncFlowControlQueueSize("bob", "1", "pool", "tiny", "tiny")
	families, err := metrics.Registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(os.Stdout, family); err != nil {
			log.Fatal(err)
		}
	}
}
