//! Questions to answer from memory, the words, and the kitchen.

use super::{Card, Kitchen, Link, TeachBack, Term};

const fn card(front: &'static str, back: &'static str) -> Card {
    Card { front, back }
}

const fn term(word: &'static str, meaning: &'static str) -> Term {
    Term { word, meaning }
}

const fn link(what: &'static str, why: &'static str) -> Link {
    Link { what, why }
}

pub(super) const CARDS: &[Card] = &[
    card(
        "Why does a target on GPU utilisation never scale down?",
        "Decoding reads all weights for each token, with one request in the batch as with many. The gauge counts time in which any kernel ran, so it is near 100 % as soon as somebody is there.",
    ),
    card(
        "Why is the number of waiting requests a late signal?",
        "It is zero until every slot is taken. When it moves, users already wait, and the replica that it orders is one cold start away.",
    ),
    card(
        "Which phases does a cold start have?",
        "Finding a node, pulling the image, loading the weights, compiling and warming up. The start ends with the first answered token.",
    ),
    card(
        "When must a start be ordered?",
        "One lead time before it is needed: the time to notice, to decide and to start. So the question is not how much load there is, but how much there will be by then.",
    ),
    card(
        "What does Little's Law say, and what not?",
        "Requests inside = arrival rate × time inside. It says how many slots are busy on average, and nothing about the queue; for that one needs headroom, about the square root of the load.",
    ),
    card(
        "How long should one hold on to an idle replica?",
        "At least about as long as its start would take: giving it up sooner saves less than getting it back costs.",
    ),
    card(
        "Why must arrivals be counted rather than completions?",
        "Completions can't exceed what the fleet can do. In overload they say that all is well.",
    ),
];

pub(super) const TEACH_BACK: TeachBack = TeachBack {
    task: "A colleague says: \"Put an HPA with 80 % GPU utilisation on it, as for any other service.\" Explain in your own words what will happen, and what you would do instead.",
    model: &[
        "The utilisation gauge of a GPU says whether anything ran, not how much. With one request it is as high as with eight, so the HPA will grow to its maximum on any traffic and stay there: good latency, and the highest bill there is.",
        "I would scale on requests inside, running and waiting, per replica, with a target below the slots that a replica has; that follows the load before a queue forms.",
        "A new replica needs minutes. So I would keep enough warm for what may arrive within one start, make the start shorter (image, weights and compiled kernels on the node), give replicas up slowly, and announce what is known beforehand. Sizing begins with Little's Law and ends with some headroom, checked by a simulation.",
    ],
};

pub(super) const GLOSSARY: &[Term] = &[
    term(
        "token",
        "A piece of text, about three quarters of an English word. A model reads and writes tokens.",
    ),
    term("engine", "The program that runs a model on a GPU and answers requests: vLLM, for one."),
    term("weights", "What a model has learned: the gigabytes that a start reads into GPU memory."),
    term(
        "autoscaler",
        "What adds and removes replicas by itself. Kubernetes has one (HPA), KEDA is another, preheat a third.",
    ),
    term("signal", "The number that an autoscaler looks at."),
    term("replica", "One copy of the model that answers requests: an engine on one or more GPUs."),
    term("pool", "All replicas of one model; what is scaled."),
    term(
        "slot",
        "A place in a replica's batch. It has max-num-seqs of them, or fewer where memory or speed binds first.",
    ),
    term(
        "batch",
        "The requests that a replica works on at once; each step makes one token for each of them.",
    ),
    term("in flight", "Requests inside replicas: running and waiting."),
    term("arrival rate", "Requests that come per second, those that are refused included."),
    term(
        "offered load",
        "Arrival rate × time in a slot: slots in use if nobody waited. In erlangs.",
    ),
    term(
        "TTFT",
        "Time to first token: from arrival to the first piece of the answer, waiting included.",
    ),
    term("TPOT", "Time per output token after the first."),
    term("SLO", "What is promised: TTFT within 2 s for 99 % of the requests, for one."),
    term(
        "attainment",
        "Share of all requests that were answered within the SLO. Those that failed missed it.",
    ),
    term("cold start", "From the order of a replica to its first answer."),
    term("lead time", "How far ahead one has to decide: noticing, deciding, and a cold start."),
    term("warm pool", "Replicas that are ready though the load does not need them yet."),
    term("standby", "A replica that sleeps: its weights are at hand, and it wakes in seconds."),
    term("drain", "Letting a replica finish what it has before it goes."),
    term("headroom", "What is held beyond the average need, because requests come in clumps."),
    term("GPU-hour", "One GPU for an hour, at work or not: what a fleet costs."),
    term(
        "KV memory",
        "GPU memory for what each request has read and written so far. Long requests need much.",
    ),
    term("thrashing", "Growing and shrinking in turn, and paying a start each time."),
];

pub(super) const KITCHEN: Kitchen = Kitchen {
    lead: "A restaurant with kitchens that take half an hour to heat up.",
    pairs: &[
        term("a guest at the door", "a request that arrives"),
        term(
            "the waitlist",
            "requests waiting: empty until every stove is taken, and then it is too late to open a kitchen for them",
        ),
        term("a kitchen", "a replica; its stoves are its slots"),
        term("\"the ovens are hot\"", "GPU utilisation: hot with one dish in them, hot with eight"),
        term(
            "dishes on the stoves, and orders on the rail",
            "requests in flight: grows with every guest",
        ),
        term(
            "opening a kitchen",
            "a cold start: deliver the pans (image), fill the pantry (weights), heat up (compile, warm-up)",
        ),
        term(
            "a kitchen with its pilot light on",
            "standby: it costs a little, and cooks in seconds",
        ),
        term("a booked wedding", "a schedule: whoever knows of it opens the kitchens beforehand"),
        term("closing a kitchen after its last plate", "a drain"),
        term("closing at every lull", "thrashing"),
    ],
    close: "The head chef's whole craft: count the guests who come, not the plates that leave, and open a kitchen one heating-up before it is needed.",
};

pub(super) const NEXT: &[Link] = &[
    link(
        "preheat demo",
        "an autoscaler keeps emulated engines ahead of recorded traffic, in two minutes",
    ),
    link("preheat size --help", "the formulae of step 4 and 5 for your figures"),
    link("docs/sizing.md", "what the formulae are, and where they are wrong"),
    link("docs/coldstart.md", "what is learned of starts, and what would save time"),
    link("docs/schedules.md", "how to announce what is known"),
    link("docs/policies/preheat.md", "how preheat decides"),
    link("docs/policies/peers.md", "how the others do"),
    link("docs/kubernetes.md", "preheat on a cluster, watching first"),
];
