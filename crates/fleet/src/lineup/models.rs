//! The tables. Numbers are chosen to be plausible and to keep what breaks detectors: ties, atoms, zero inflation,
//! heavy tails, a large offset, seasons, rates that differ by a factor of a hundred.

use super::features::{Category, Draw, FeatureSpec, even, shifting};
use super::{LabelSpec, ModelSpec, Task, Tune};

const MINUTE_MS: f64 = 60_000.0;

const fn feature(name: &'static str, draw: Draw) -> FeatureSpec {
    FeatureSpec::new(name, draw)
}

const fn lognormal(median: f64, sigma: f64, max: f64, decimals: u8) -> Draw {
    Draw::Lognormal { median, sigma, max, decimals }
}

const fn normal(mean: f64, sd: f64, (min, max): (f64, f64), decimals: u8) -> Draw {
    Draw::Normal { mean, sd, min, max, decimals }
}

const fn count(zero: f64, mean: f64, max: u16) -> Draw {
    Draw::Count { zero, mean, max }
}

const fn flag(share: f64) -> Draw {
    Draw::Flag { share }
}

pub(super) static LINEUP: [ModelSpec; 5] = [
    ModelSpec {
        name: "fraud",
        purpose: "scores card payments",
        owner: "payments",
        tier: 1,
        task: Task::Binary { no: "approve", yes: "deny" },
        version: "2026-02-27.1",
        next_version: "2026-03-05.1",
        rate_per_s: 2.0,
        zone_h: 1,
        latency_ms: 38.0,
        timeout_ms: 1500.0,
        error_share: 0.002,
        quality: 0.97,
        labels: LabelSpec { share: 0.85, median_ms: 20.0 * MINUTE_MS, sigma: 0.8, wrong_factor: 1.25 },
        features: &FRAUD,
        regions: &REGIONS_EUROPE,
        tune: Tune {
            echo_share: 0.35,
            echo_ms: 3000.0,
            week: (0.08, 5.5),
            latency_sigma: 0.32,
            latency_wander: 0.1,
            bias: -6.6,
            noise: 2.6,
            logit_cycle: -0.1,
        },
    },
    ModelSpec {
        name: "ranking",
        purpose: "ranks search results; the label says whether the first was clicked",
        owner: "search",
        tier: 2,
        task: Task::Binary { no: "0", yes: "1" },
        version: "r41",
        next_version: "r42",
        rate_per_s: 5.0,
        zone_h: -5,
        latency_ms: 17.0,
        timeout_ms: 800.0,
        error_share: 0.001,
        quality: 0.75,
        labels: LabelSpec { share: 0.95, median_ms: 2.0 * MINUTE_MS, sigma: 0.7, wrong_factor: 1.1 },
        features: &RANKING,
        regions: &REGIONS_WORLD,
        tune: Tune {
            echo_share: 0.5,
            echo_ms: 8000.0,
            week: (0.1, 0.5),
            latency_sigma: 0.28,
            latency_wander: 0.08,
            bias: -0.5,
            noise: 1.2,
            logit_cycle: 0.05,
        },
    },
    ModelSpec {
        name: "demand",
        purpose: "forecasts what each shop will sell",
        owner: "supply",
        tier: 2,
        task: Task::Regression { unit: "pieces" },
        version: "2026.02",
        next_version: "2026.03",
        rate_per_s: 0.05,
        zone_h: 1,
        latency_ms: 240.0,
        timeout_ms: 10_000.0,
        error_share: 0.003,
        quality: 0.9,
        labels: LabelSpec { share: 0.98, median_ms: 180.0 * MINUTE_MS, sigma: 0.15, wrong_factor: 1.0 },
        features: &DEMAND,
        regions: &REGIONS_EUROPE,
        tune: Tune {
            echo_share: 0.5,
            echo_ms: 5000.0,
            week: (0.1, 5.0),
            latency_sigma: 0.4,
            latency_wander: 0.12,
            bias: 3.6,
            noise: 0.45,
            logit_cycle: 0.5,
        },
    },
    ModelSpec {
        name: "triage",
        purpose: "sorts uploaded images",
        owner: "trust",
        tier: 2,
        task: Task::Classes(&IMAGES),
        version: "v7",
        next_version: "v8",
        rate_per_s: 0.4,
        zone_h: 0,
        latency_ms: 170.0,
        timeout_ms: 5000.0,
        error_share: 0.004,
        quality: 0.9,
        labels: LabelSpec { share: 0.3, median_ms: 60.0 * MINUTE_MS, sigma: 0.6, wrong_factor: 1.2 },
        features: &TRIAGE,
        regions: &REGIONS_WORLD,
        tune: Tune {
            echo_share: 0.4,
            echo_ms: 4000.0,
            week: (0.08, 6.5),
            latency_sigma: 0.38,
            latency_wander: 0.12,
            bias: 2.7,
            noise: 1.3,
            logit_cycle: 0.0,
        },
    },
    ModelSpec {
        name: "support",
        purpose: "routes customers' messages to a queue",
        owner: "care",
        tier: 3,
        task: Task::Classes(&QUEUES),
        version: "2026-01-19.2",
        next_version: "2026-03-04.1",
        rate_per_s: 0.15,
        zone_h: 1,
        latency_ms: 85.0,
        timeout_ms: 3000.0,
        error_share: 0.003,
        quality: 0.85,
        labels: LabelSpec { share: 0.9, median_ms: 30.0 * MINUTE_MS, sigma: 0.7, wrong_factor: 0.85 },
        features: &SUPPORT,
        regions: &REGIONS_EUROPE,
        tune: Tune {
            echo_share: 0.2,
            echo_ms: 6000.0,
            week: (0.12, 1.5),
            latency_sigma: 0.35,
            latency_wander: 0.1,
            bias: 2.0,
            noise: 1.2,
            logit_cycle: 0.0,
        },
    },
];

static FRAUD: [FeatureSpec; 10] = [
    feature("amount", lognormal(48.0, 1.1, 20_000.0, 2)).weight(0.9),
    feature("country", Draw::Category(&COUNTRIES)),
    feature("is_new", flag(0.12)).weight(1.1),
    feature("age", normal(41.0, 14.0, (18.0, 95.0), 0)).nulls(0.04).weight(-0.1),
    feature("merchant_category", Draw::Category(&MERCHANTS)),
    feature("velocity", count(0.84, 1.8, 40)).weight(0.9),
    feature("device", Draw::Category(&DEVICES)),
    feature("account_days", lognormal(420.0, 1.2, 9000.0, 0)).weight(-0.4),
    feature("distance_km", lognormal(8.0, 1.7, 20_000.0, 1)).weight(0.6).nulls(0.01),
    feature("issuer_score", normal(0.0, 1.0, (-6.0, 6.0), 3)).weight(0.9),
];

static RANKING: [FeatureSpec; 10] = [
    feature("query_length", lognormal(17.0, 0.45, 200.0, 0)).weight(0.03),
    feature("is_mobile", flag(0.62)).cycle(-0.1),
    feature("language", Draw::Category(&LANGUAGES_WORLD)),
    feature("similarity", normal(0.62, 0.14, (0.0, 1.0), 3)).weight(0.9),
    feature("price", lognormal(24.0, 0.9, 5000.0, 2)).weight(-0.3),
    feature("category", Draw::Category(&SHELVES)),
    feature("freshness_h", lognormal(60.0, 1.4, 20_000.0, 1)).weight(-0.3),
    feature("past_clicks", count(0.9, 2.5, 60)).weight(0.5),
    feature("results", Draw::Levels(&[(3, 0.04), (6, 0.06), (12, 0.2), (24, 0.7)])),
    feature("session_depth", count(0.45, 3.0, 50)).weight(-0.2).cycle(0.15),
];

static DEMAND: [FeatureSpec; 9] = [
    feature("store", Draw::Category(&STORES)),
    feature("temperature_k", Draw::Weather { mean: 286.0, swing: 4.5, wander: 2.0, sd: 0.6, decimals: 1 })
        .weight(0.05),
    feature("humidity", normal(62.0, 15.0, (5.0, 100.0), 0)).nulls(0.02).cycle(-0.5),
    feature("price", normal(3.49, 0.4, (0.99, 9.99), 1)).weight(-0.15),
    feature("promo", flag(0.15)).weight(0.35).cycle(0.0),
    feature("stock", lognormal(140.0, 0.7, 5000.0, 0)).cycle(-0.4),
    feature("sold_yesterday", lognormal(38.0, 0.6, 3000.0, 0)).weight(0.3),
    feature("sold_last_hour", lognormal(6.0, 0.7, 500.0, 0)).cycle(1.1).weight(0.1),
    feature("horizon_h", Draw::Whole { low: 1, high: 24 }),
];

static TRIAGE: [FeatureSpec; 8] = [
    feature("width_px", Draw::Levels(&[(640, 0.18), (1080, 0.42), (1920, 0.28), (3024, 0.12)])),
    feature("size_kb", lognormal(310.0, 0.8, 20_000.0, 0)),
    feature("brightness", normal(0.52, 0.16, (0.0, 1.0), 3)).cycle(0.25).weight(0.2),
    feature("blur", lognormal(0.9, 0.6, 40.0, 2)).weight(-0.6),
    feature("source", Draw::Category(&SOURCES)),
    feature("camera", Draw::Category(&CAMERAS)),
    feature("has_location", flag(0.37)),
    feature("faces", count(0.71, 1.4, 20)),
];

static SUPPORT: [FeatureSpec; 8] = [
    feature("language", Draw::Category(&LANGUAGES_EUROPE)),
    feature("channel", Draw::Category(&CHANNELS)),
    feature("product", Draw::Category(&PRODUCTS)),
    feature("text_length", lognormal(240.0, 0.8, 8000.0, 0)).weight(0.4),
    feature("attachments", count(0.88, 1.5, 10)),
    feature("is_premium", flag(0.21)),
    feature("sentiment", normal(-0.12, 0.45, (-1.0, 1.0), 2)).weight(0.1),
    feature("prior_tickets", count(0.55, 2.2, 40)).weight(-0.1),
];

static COUNTRIES: [Category; 12] = [
    shifting("DE", 0.27, 0.22),
    shifting("FR", 0.17, 0.15),
    even("GB", 0.14),
    even("ES", 0.1),
    even("IT", 0.09),
    even("NL", 0.07),
    even("PL", 0.05),
    even("AT", 0.04),
    shifting("US", 0.03, 0.07).logit(0.4),
    even("BR", 0.02).logit(0.6),
    shifting("NG", 0.01, 0.02).logit(1.0),
    even("SG", 0.01).logit(0.3),
];

static MERCHANTS: [Category; 9] = [
    shifting("grocery", 0.3, 0.2),
    shifting("travel", 0.08, 0.1).logit(0.5),
    even("fashion", 0.15),
    shifting("restaurant", 0.14, 0.2),
    even("electronics", 0.09).logit(0.7),
    even("fuel", 0.1),
    even("health", 0.07),
    shifting("gaming", 0.04, 0.08).logit(0.6),
    even("other", 0.03),
];

static DEVICES: [Category; 4] = [
    shifting("ios", 0.42, 0.46),
    even("android", 0.36),
    shifting("web", 0.18, 0.14).logit(0.3),
    even("pos", 0.04),
];

static LANGUAGES_WORLD: [Category; 6] = [
    even("en", 0.61),
    even("es", 0.17),
    shifting("pt", 0.08, 0.1),
    even("fr", 0.07),
    shifting("de", 0.04, 0.03),
    even("ja", 0.03),
];

static SHELVES: [Category; 10] = [
    even("home", 0.18),
    shifting("fashion", 0.17, 0.2),
    shifting("electronics", 0.15, 0.17),
    even("toys", 0.1),
    even("sport", 0.1),
    shifting("grocery", 0.1, 0.07),
    even("beauty", 0.08),
    even("garden", 0.05),
    even("books", 0.05),
    even("auto", 0.02),
];

static STORES: [Category; 16] = [
    even("s01", 0.1).logit(0.5),
    even("s02", 0.09).logit(0.4),
    even("s03", 0.08).logit(0.2),
    even("s04", 0.08),
    even("s05", 0.07),
    even("s06", 0.07).logit(-0.2),
    even("s07", 0.07),
    even("s08", 0.06).logit(0.1),
    even("s09", 0.06),
    even("s10", 0.06).logit(-0.3),
    even("s11", 0.05),
    even("s12", 0.05).logit(-0.4),
    even("s13", 0.05).logit(-0.2),
    even("s14", 0.04),
    even("s15", 0.04).logit(-0.5),
    even("s16", 0.03).logit(-0.6),
];

static IMAGES: [Category; 6] = [
    even("product", 0.46),
    shifting("document", 0.18, 0.12),
    shifting("person", 0.14, 0.18),
    even("damage", 0.1),
    even("screenshot", 0.08),
    even("other", 0.04),
];

static SOURCES: [Category; 4] = [
    shifting("app", 0.58, 0.64),
    shifting("web", 0.27, 0.22),
    shifting("partner", 0.11, 0.08),
    even("email", 0.04),
];

static CAMERAS: [Category; 5] = [
    even("apple", 0.39),
    even("samsung", 0.27),
    even("google", 0.13),
    even("xiaomi", 0.12),
    even("unknown", 0.09),
];

static QUEUES: [Category; 8] = [
    even("billing", 0.22),
    even("delivery", 0.2),
    shifting("returns", 0.16, 0.14),
    shifting("technical", 0.14, 0.18),
    even("account", 0.12),
    even("sales", 0.08),
    even("abuse", 0.03),
    even("other", 0.05),
];

static LANGUAGES_EUROPE: [Category; 6] = [
    even("de", 0.38),
    even("en", 0.24),
    even("fr", 0.16),
    even("it", 0.09),
    even("es", 0.08),
    even("nl", 0.05),
];

static CHANNELS: [Category; 4] = [
    shifting("mail", 0.41, 0.5),
    shifting("chat", 0.37, 0.32),
    shifting("phone", 0.14, 0.08),
    even("social", 0.08),
];

static PRODUCTS: [Category; 7] = [
    even("card", 0.25),
    even("account", 0.2),
    even("loan", 0.15),
    even("app", 0.15),
    even("insurance", 0.1),
    even("shop", 0.1),
    even("gift", 0.05),
];

static REGIONS_EUROPE: [Category; 3] =
    [even("eu-central", 0.45), even("eu-west", 0.35), even("eu-south", 0.2)];

static REGIONS_WORLD: [Category; 3] =
    [even("us-east", 0.6), shifting("eu-west", 0.25, 0.28), even("sa-east", 0.15)];
