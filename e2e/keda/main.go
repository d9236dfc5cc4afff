// Command keda calls an external scaler with KEDA's own code for it, and prints what KEDA would act
// on, one JSON object a line: the tests hold it against what preheat publishes.
//
// The first line of standard input is the trigger. Each line after it asks for one thing: "spec", the
// metrics of the HorizontalPodAutoscaler that KEDA would make, or "read", what such an autoscaler is
// told when it reads the first of them. A trigger of the type external-push tells its activity as it
// comes. It ends with standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	v2 "k8s.io/api/autoscaling/v2"
)

// Longer than any answer takes: KEDA itself waits for as long as its caller does.
const patience = 20 * time.Second

type trigger struct {
	Type      string            `json:"type"`
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Metadata  map[string]string `json:"metadata"`
	// What a TriggerAuthentication gives.
	Auth       map[string]string   `json:"auth"`
	MetricType v2.MetricTargetType `json:"metricType"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	input := bufio.NewScanner(os.Stdin)
	if !input.Scan() {
		return fmt.Errorf("standard input names no trigger")
	}
	var of trigger
	if err := json.Unmarshal(input.Bytes(), &of); err != nil {
		return fmt.Errorf("the trigger: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	scaler, err := start(ctx, of)
	if err != nil {
		return err
	}
	defer scaler.Close(ctx)
	for input.Scan() {
		switch line := strings.TrimSpace(input.Text()); line {
		case "spec":
			print("spec", scaler.GetMetricSpecForScaling(ctx))
		case "read":
			read(ctx, scaler)
		default:
			return fmt.Errorf("nobody knows what %q asks for", line)
		}
	}
	return input.Err()
}

func start(ctx context.Context, of trigger) (scalers.Scaler, error) {
	config := &scalersconfig.ScalerConfig{
		ScalableObjectName:      of.Name,
		ScalableObjectNamespace: of.Namespace,
		ScalableObjectType:      "ScaledObject",
		TriggerType:             of.Type,
		TriggerMetadata:         of.Metadata,
		AuthParams:              of.Auth,
		MetricType:              of.MetricType,
	}
	if of.Type != "external-push" {
		return scalers.NewExternalScaler(config)
	}
	scaler, err := scalers.NewExternalPushScaler(config)
	if err != nil {
		return nil, err
	}
	active := make(chan bool)
	go scaler.Run(ctx, active)
	go func() {
		for now := range active {
			print("pushed", now)
		}
	}()
	return scaler, nil
}

// As KEDA's metrics server does for a HorizontalPodAutoscaler, of which each metric has its name from
// the specification.
func read(ctx context.Context, scaler scalers.Scaler) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	specs := scaler.GetMetricSpecForScaling(ctx)
	if len(specs) == 0 {
		print("error", "it tells of no metric")
		return
	}
	metrics, active, err := scaler.GetMetricsAndActivity(ctx, specs[0].External.Metric.Name)
	if err != nil {
		print("error", err.Error())
		return
	}
	values := map[string]string{}
	for _, metric := range metrics {
		values[metric.MetricName] = metric.Value.String()
	}
	print("read", map[string]any{"values": values, "active": active})
}

var printing sync.Mutex

func print(what string, value any) {
	text, err := json.Marshal(map[string]any{what: value})
	if err != nil {
		text = []byte(fmt.Sprintf(`{"error": %q}`, err))
	}
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(text))
}
