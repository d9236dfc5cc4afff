// Gives the endpoint picker's recorders the numbers of a pool with three requests inside and one that
// ended, as its handlers do, and writes its registry.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/prometheus/common/expfmt"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	picker "sigs.k8s.io/gateway-api-inference-extension/pkg/epp/metrics"
)

func main() {
	picker.Register()
	picker.RecordInferencePoolAvgKVCache("pool", 0.25)
	picker.RecordInferencePoolAvgQueueSize("pool", 1)
	start := time.Now()
	picker.RecordRequestCounter("tiny", "tiny")
	picker.RecordRequestLatencies(context.Background(), "tiny", "tiny", start, start.Add(time.Second))
	picker.RecordInputTokens("tiny", "tiny", 100)
	picker.RecordOutputTokens("tiny", "tiny", 11)
	for range 3 {
		picker.IncRunningRequests("tiny")
	}
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
