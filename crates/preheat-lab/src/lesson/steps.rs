//! The six steps.

use super::{
    Change, Dial, Dials, Experiment, Knob, KnobOption, Question, QuestionKind, Run, Setting, Step,
};
use crate::figure::{Answer, FigureKind};

/// A run of the file as it is, with the policy's own defaults.
const fn plain(id: &'static str, label: &'static str, policy: &'static str) -> Run {
    Run { id, label, policy, settings: &[], changes: &[] }
}

const fn option(label: &'static str, value: &'static str) -> KnobOption {
    KnobOption { label, value }
}

const SLOTS: Knob = Knob {
    label: "Slots per replica (max-num-seqs)",
    key: "engine",
    options: &[
        option("8", "{profile: qwen-27b-fp8-h100, maxNumSeqs: 8}"),
        option("16", "{profile: qwen-27b-fp8-h100, maxNumSeqs: 16}"),
        option("64", "{profile: qwen-27b-fp8-h100, maxNumSeqs: 64}"),
    ],
};

const START: Knob = Knob {
    label: "A start takes",
    key: "coldStart",
    options: &[
        option("3 minutes", "{fixed: 180s}"),
        option("1 minute", "{fixed: 60s}"),
        option("10 minutes", "{fixed: 600s}"),
        option("10 seconds", "{fixed: 10s}"),
    ],
};

const CACHES: Dials = Dials {
    title: "Drag what the nodes have",
    about: "Each slider takes one part of the start away. The scenario runs anew as you drag, and is drawn last in each picture, beside your guess.",
    key: "coldStart",
    before: "{perNode: {",
    after: "}}",
    dials: &[
        Dial {
            label: "Image",
            stops: &[
                option("10 GB to pull", "imageBytes: 10000000000"),
                option("5 GB to pull", "imageBytes: 5000000000"),
                option("2 GB to pull", "imageBytes: 2000000000"),
                option("on the node", ""),
            ],
        },
        Dial {
            label: "Weights",
            stops: &[
                option("in a remote store", "weights: remote-store"),
                option("on local NVMe", "weights: local-nvme"),
                option("in the page cache", "weights: page-cache"),
            ],
        },
        Dial {
            label: "Kernels",
            stops: &[
                option("compiled at each start", "compileCache: miss"),
                option("compiled before", "compileCache: hit"),
            ],
        },
    ],
    instead: option("Sleep mode: engines sleep nearby and only wake, in 5 seconds", "{fixed: 5s}"),
};

const CONCURRENCY: &str = "keda-concurrency";
const FAST_START: Change = Change { key: "coldStart", value: "{fixed: 60s}" };
const WARM_POOL: Change = Change { key: "replicas", value: "{min: 8, max: 20}" };
const ANNOUNCED: Change = Change {
    key: "schedule",
    value: "[{from: 30m, until: 70m, replicas: 11}, {from: 105m, until: 145m, replicas: 11}]",
};

pub(super) const STEPS: &[Step] = &[
    Step {
        id: "signal",
        title: "The right signal",
        lead: &[
            "A language model answers a request (a prompt) token by token; a token is about three quarters of a word. The program that computes them is the engine. It needs a GPU, which costs the same by the hour whether it works or not, so one runs several copies, the replicas, and only as many as the traffic needs: with too few of them people wait, with too many the money is gone.",
            "An autoscaler does that by itself. It looks at one number, the signal, and keeps it near a target by adding and removing replicas. Which number?",
            "Here is the load: a quiet half hour, then four times as much for an hour and a bit, then quiet again. A replica is one engine on one GPU. It works on at most 8 requests at once (its slots); whoever comes ninth waits inside it. A new replica takes 3 minutes to start. The promise (SLO): the first token within 2 seconds, for 99 of 100 requests.",
            "Generating tokens is bound by memory: for each token the GPU reads all of the model's weights (the many gigabytes that it has learned), whether one request is in the batch, which is what is worked on at once, or eight. So its utilisation gauge says \"busy\" from the first request on.",
            "The CPU says no more: the engine's main loop keeps about one core turning as long as any request is there. What a CPU target makes of that core depends on how many the container asks for; here it is two, as in vLLM's own example.",
        ],
        experiment: Some(Experiment {
            scenario: "signal",
            text: include_str!("../../../../scenarios/lab/signal.yaml"),
            event_minute: 30,
            runs: &[
                plain("gpu", "GPU utilisation at 80 %", "hpa-gpu"),
                plain("cpu", "CPU at 80 % of what is requested", "hpa-cpu"),
                plain("waiting", "requests waiting, 5 a replica", "keda-waiting"),
                plain("ttft", "time to first token and per token", "llmd-slo"),
                plain("concurrency", "requests inside, 70 % of slots", CONCURRENCY),
            ],
            knobs: &[SLOTS, START],
            dials: None,
        }),
        questions: &[
            Question {
                id: "signal",
                text: "Which signal keeps 99 % of the requests inside the SLO at the least cost?",
                kind: QuestionKind::Run,
                answer: Answer::Cheapest { attainment_percent_min: 99.0 },
            },
            Question {
                id: "gpu-hours",
                text: "Sixteen replicas all the time would be about 41 GPU-hours. How many does the GPU utilisation target spend?",
                kind: QuestionKind::Number { unit: "GPU-hours", max: 60.0 },
                answer: Answer::Figure { run: "gpu", figure: FigureKind::GpuHours },
            },
        ],
        reveal: &[
            "GPU utilisation goes up and hardly comes back. The gauge is near 100 % with one request in the batch, so the target asks for more replicas until there are no more to have, and the quiet hour at the end costs nearly as much as the busy one. Nobody complains about latency, only about the bill.",
            "CPU never gets to its target: one core of two is about half of what is requested, with one request or with eight, so nothing is ever started, one of the three replicas there were is given up, and nine of ten requests miss the promise. Had the container asked for one core, the same gauge would have read 105 % and bought all sixteen. A signal that a number in a manifest turns from \"never\" into \"always\" does not measure load.",
            "Requests waiting is zero until the slots are full. When it moves, the queue is already there, and the help is one start away. Then the queue that piled up looks like a huge load, and it orders far too many.",
            "Time to first token tells what users feel, but only after they felt it: it is a good alarm and a late signal.",
            "Requests inside (running and waiting together) grows with the load from the first request on, and passes 70 % of the slots before anybody waits. It is Little's Law read off a gauge: arrivals times time spent.",
        ],
        tries: &[
            "Give each replica 64 slots: which signals change their mind?",
            "Run `hpa-cpu` with `request_cores` at 1: what does it spend now, and what does it have in common with the GPU target?",
            "Let a start take 10 seconds. Is a late signal still a bad one?",
            "Run it under preheat: it reads arrivals, and counts replicas that are on their way.",
        ],
    },
    Step {
        id: "cold-start",
        title: "The cold-start surprise",
        lead: &[
            "A web server starts in a second. A replica of a language model must get its container image, read its weights (27 GB here, in FP8) into GPU memory, compile kernels and warm up. Only then does it answer.",
            "In minute 10 the traffic jumps from 3 to 8 requests a second. The autoscaler watches the best signal from step 1, and its nodes have never seen this image or these weights.",
        ],
        experiment: Some(Experiment {
            scenario: "cold-start",
            text: include_str!("../../../../scenarios/lab/cold-start.yaml"),
            event_minute: 10,
            runs: &[
                plain("cold", "nothing cached", CONCURRENCY),
                Run {
                    id: "image",
                    label: "image cached",
                    policy: CONCURRENCY,
                    settings: &[],
                    changes: &[Change {
                        key: "coldStart",
                        value: "{perNode: {weights: remote-store, compileCache: miss}}",
                    }],
                },
                Run {
                    id: "nvme",
                    label: "image, weights on NVMe, kernels cached",
                    policy: CONCURRENCY,
                    settings: &[],
                    changes: &[Change {
                        key: "coldStart",
                        value: "{perNode: {weights: local-nvme, compileCache: hit}}",
                    }],
                },
            ],
            knobs: &[
                Knob {
                    label: "What the nodes have",
                    key: "coldStart",
                    options: &[
                        option(
                            "nothing",
                            "{perNode: {imageBytes: 10000000000, weights: remote-store, compileCache: miss}}",
                        ),
                        option(
                            "the image",
                            "{perNode: {weights: remote-store, compileCache: miss}}",
                        ),
                        option(
                            "image and weights on NVMe",
                            "{perNode: {weights: local-nvme, compileCache: miss}}",
                        ),
                        option(
                            "image, weights on NVMe, compiled kernels",
                            "{perNode: {weights: local-nvme, compileCache: hit}}",
                        ),
                        option("a sleeping engine's speed: 5 seconds", "{fixed: 5s}"),
                        option("no node yet: 5 minutes more", "{fixed: 480s}"),
                    ],
                },
                SLOTS,
            ],
            dials: Some(CACHES),
        }),
        questions: &[
            Question {
                id: "ready",
                text: "With nothing cached: how many minutes after the jump is the first new replica ready?",
                kind: QuestionKind::Number { unit: "minutes", max: 30.0 },
                answer: Answer::Figure { run: "cold", figure: FigureKind::MinutesToReady },
            },
            Question {
                id: "missed",
                text: "And how many requests have missed their 2 seconds by then?",
                kind: QuestionKind::Number { unit: "requests", max: 10_000.0 },
                answer: Answer::Figure { run: "cold", figure: FigureKind::MissedUntilReady },
            },
        ],
        reveal: &[
            "The autoscaler noticed within a minute. Everything after that is the start, and no target makes it shorter.",
            "What makes it worse: the queue of those minutes does not go away when the replica arrives. It has to be worked off beside the new traffic, so the misses go on after the help is there.",
            "Each thing that is at hand takes its part off: the image, the weights on a local disk, compiled kernels. A sleeping engine has all of them, and wakes in seconds.",
            "Count from the run, not from the log line that says \"loaded\": a start ends when the first request is answered.",
        ],
        tries: &[
            "Take the caches away and give them back, one by one. Which one is worth most here?",
            "Let no node be there yet: five minutes more.",
            "Run it under preheat. Does it help against a jump that nobody announced?",
        ],
    },
    Step {
        id: "strategies",
        title: "The strategies",
        lead: &[
            "You can't wish the start away, so you pay for being ready: in replicas that stand by, in engineering, or in knowing the future. Two peaks within three hours, each four times the quiet load, a start of 3 minutes.",
            "The list: scale up early (a lower target), a warm pool (a higher minimum), a faster start, a slow and a quick scale-down, an announcement (somebody knows when the peaks come), and two of them together.",
        ],
        experiment: Some(Experiment {
            scenario: "strategies",
            text: include_str!("../../../../scenarios/lab/strategies.yaml"),
            event_minute: 30,
            runs: &[
                plain("plain", "nothing special: 70 % of slots", CONCURRENCY),
                Run {
                    id: "early",
                    label: "scale up early: 40 % of slots",
                    policy: CONCURRENCY,
                    settings: &[Setting { knob: "threshold_of_slots", value: 0.4 }],
                    changes: &[],
                },
                Run {
                    id: "warm",
                    label: "warm pool: at least 8",
                    policy: CONCURRENCY,
                    settings: &[],
                    changes: &[WARM_POOL],
                },
                Run {
                    id: "fast",
                    label: "faster start: 1 minute",
                    policy: CONCURRENCY,
                    settings: &[],
                    changes: &[FAST_START],
                },
                Run {
                    id: "slow-down",
                    label: "slow scale-down: after 30 minutes",
                    policy: CONCURRENCY,
                    settings: &[Setting { knob: "down_window_s", value: 1800.0 }],
                    changes: &[],
                },
                Run {
                    id: "quick-down",
                    label: "quick scale-down: at once",
                    policy: CONCURRENCY,
                    settings: &[Setting { knob: "down_window_s", value: 0.0 }],
                    changes: &[],
                },
                Run {
                    id: "announced",
                    label: "announced to preheat",
                    policy: "preheat",
                    settings: &[],
                    changes: &[ANNOUNCED],
                },
                Run {
                    id: "fast-early",
                    label: "faster start and early: 1 minute, 60 %",
                    policy: CONCURRENCY,
                    settings: &[Setting { knob: "threshold_of_slots", value: 0.6 }],
                    changes: &[FAST_START],
                },
            ],
            knobs: &[
                START,
                Knob {
                    label: "Warm pool",
                    key: "replicas",
                    options: &[
                        option("at least 2", "{min: 2, max: 20}"),
                        option("at least 5", "{min: 5, max: 20}"),
                        option("at least 8", "{min: 8, max: 20}"),
                        option("at least 11", "{min: 11, max: 20}"),
                    ],
                },
                SLOTS,
            ],
            dials: None,
        }),
        questions: &[
            Question {
                id: "cheapest",
                text: "Which is the cheapest that keeps 99 % of the requests inside the SLO?",
                kind: QuestionKind::Run,
                answer: Answer::Cheapest { attainment_percent_min: 99.0 },
            },
            Question {
                id: "thrash",
                text: "Scaling down at once: how many times does the fleet turn from growing to shrinking or back?",
                kind: QuestionKind::Number { unit: "times", max: 500.0 },
                answer: Answer::Figure { run: "quick-down", figure: FigureKind::DirectionChanges },
            },
        ],
        reveal: &[
            "A faster start is both the cheapest and among the best: it takes minutes off every peak and needs nobody standing by. It costs engineering instead of GPUs.",
            "A warm pool buys the same promise with idle replicas, all night long. A low target is a warm pool that grows with the load.",
            "An announcement gets there before the crowd, and lets go after it. It is worth having whenever somebody knows: a launch, office hours, a batch at nine.",
            "A quick scale-down thrashes: it gives up in each lull what the next minute needs, and then waits a whole start for it. Hold on to a replica at least as long as its start took.",
            "A slow scale-down alone does nothing for the first peak; it only helps where peaks are closer together than the wait.",
        ],
        tries: &[
            "Warm pool of 5 and a start of 1 minute: is that better than either?",
            "A start of 10 minutes: which strategies are left?",
            "Run it under preheat with a start of 1 minute.",
        ],
    },
    Step {
        id: "sizing",
        title: "Sizing with Little's Law",
        lead: &[
            "How many replicas does a steady load need? Little's Law: requests inside = arrival rate × time that each spends. Divide by the slots of one replica.",
            "10 requests a second at the peak. In a full batch of 8 a request takes 7.4 seconds. A replica has 8 slots, and its KV memory would hold far more, so the slots are what binds.",
        ],
        experiment: Some(Experiment {
            scenario: "sizing",
            text: include_str!("../../../../scenarios/lab/sizing.yaml"),
            event_minute: 1,
            runs: &[
                plain("exact", "10 replicas: what the law says", "static:10"),
                plain("headroom", "12 replicas: with headroom", "static:12"),
                Run {
                    id: "slots",
                    label: "3 replicas of 64 slots",
                    policy: "static:3",
                    settings: &[],
                    changes: &[Change {
                        key: "engine",
                        value: "{profile: qwen-27b-fp8-h100, maxNumSeqs: 64}",
                    }],
                },
            ],
            knobs: &[
                SLOTS,
                Knob {
                    label: "Requests",
                    key: "lengths",
                    options: &[
                        option(
                            "1000 tokens in, 300 out",
                            "{input: {mean: 1000, p99: 4600}, output: {mean: 300, p99: 1380}}",
                        ),
                        option(
                            "all alike: 1000 in, 300 out",
                            "{input: {fixed: 1000}, output: {fixed: 300}}",
                        ),
                        option(
                            "3000 tokens in, 300 out",
                            "{input: {mean: 3000, p99: 8000}, output: {mean: 300, p99: 1380}}",
                        ),
                    ],
                },
            ],
            dials: None,
        }),
        questions: &[
            Question {
                id: "little",
                text: "How many replicas does Little's Law give?",
                kind: QuestionKind::Number { unit: "replicas", max: 200.0 },
                answer: Answer::Formula { value: 10.0 },
            },
            Question {
                id: "exact",
                text: "With exactly that many: what percentage of the requests gets its first token within 2 seconds?",
                kind: QuestionKind::Number { unit: "%", max: 100.0 },
                answer: Answer::Figure { run: "exact", figure: FigureKind::AttainmentPercent },
            },
        ],
        reveal: &[
            "10 × 7.4 = 74 requests inside; 74 ÷ 8 = 9.3, so 10 replicas. That is enough on average, and nobody arrives on average: requests come at random, and each clump finds every slot taken. Near 100 % busy the queue has no time to drain before the next clump.",
            "The remedy is a little room: about as much as the square root of the load, times a factor for how rarely one may wait. `preheat size` says 12 here, and the simulation agrees.",
            "64 slots serve the same load on a quarter of the GPUs. Each request takes twice as long, but eight times as many share each reading of the weights. Check that KV memory holds them, and that the slower tokens are still fast enough.",
        ],
        tries: &[
            "Run exactly 10 with requests that are all alike. Is there still a queue?",
            "Try static:11.",
            "Prompts of 3000 tokens: what breaks first?",
        ],
    },
    Step {
        id: "cluster",
        title: "On your cluster",
        lead: &[
            "Now with your figures: how much comes, and how long things take. What comes out is a number of replicas to keep and a number to allow, as a configuration file for `preheat up` on one machine and as a resource for Kubernetes, which begins by watching only.",
            "If you don't know a figure, leave it as it is and come back with a better one. Count what arrives, with what is refused. Nothing that you type here leaves this machine.",
        ],
        experiment: None,
        questions: &[],
        reveal: &[
            "The warm baseline is what the quiet load needs, and what may come within one cold start on top. The maximum is what the busiest load needs, with room to work off what piled up.",
            "The signal to scale on is the one of step 1: arrivals and requests inside, which is what preheat reads. If you stay with a concurrency target (KEDA, an HPA), use the requests in flight per replica that stand above; scale up without a window, and down after at least one cold start.",
            "On one machine: put your model in the place of MODEL in preheat.yaml, check it with `preheat up preheat.yaml --check`, and run it with `preheat up preheat.yaml`.",
            "On Kubernetes: install preheat once (docs/kubernetes.md), put the name of your Deployment into inferenceautoscaler.yaml, and `kubectl apply -f inferenceautoscaler.yaml`. Watch before you act: it writes nothing until you set its mode to Act, `kubectl preheat why chat` tells what it would have done, and `preheat shadow report` sets that beside what your autoscaler did.",
        ],
        tries: &[],
    },
    Step {
        id: "recall",
        title: "Recall and teach back",
        lead: &[
            "Answer from memory first, then uncover. What you have to look for in your head now, you will find next time.",
        ],
        experiment: None,
        questions: &[],
        reveal: &[],
        tries: &[],
    },
];
