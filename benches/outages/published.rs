//! The results that semian published of its experiments, in calls.
//!
//! From `experiments/results/csv` of `Shopify/semian` (MIT), commit 8835b3da.
//! Semian ran each scenario once with each breaker, as a closed loop, with
//! latencies drawn for that run. So no two of these runs had the same load,
//! nor that of this bench. The counts cannot be compared with each other.

/// Requests, successes, errors let through, rejections.
type Counts = [u64; 4];

pub struct Published {
    pub scenario: &'static str,
    pub breaker: &'static str,
    /// Calls served in a second while the service is healthy.
    pub base: u64,
    pub before: Counts,
    pub degraded: Counts,
    pub after: Counts,
}

pub const ALL: [Published; 18] = [
    Published {
        scenario: "near target",
        breaker: "classic",
        base: 347,
        before: [10_406, 10_304, 102, 0],
        degraded: [42_573, 42_048, 525, 0],
        after: [10_768, 10_656, 112, 0],
    },
    Published {
        scenario: "near target",
        breaker: "adaptive",
        base: 426,
        before: [12_774, 12_674, 96, 4],
        degraded: [52_493, 51_599, 610, 284],
        after: [13_219, 12_952, 136, 131],
    },
    Published {
        scenario: "gradual increase",
        breaker: "classic",
        base: 278,
        before: [16_689, 16_530, 159, 0],
        degraded: [195_531, 131_992, 4_446, 59_093],
        after: [19_194, 16_593, 164, 2_437],
    },
    Published {
        scenario: "gradual increase",
        breaker: "adaptive",
        base: 260,
        before: [15_588, 15_420, 159, 9],
        degraded: [132_785, 124_446, 4_223, 4_116],
        after: [16_005, 15_645, 166, 194],
    },
    Published {
        scenario: "oscillating",
        breaker: "classic",
        base: 592,
        before: [11_835, 11_716, 119, 0],
        degraded: [154_542, 83_424, 3_501, 67_617],
        after: [16_411, 9_360, 107, 6_944],
    },
    Published {
        scenario: "oscillating",
        breaker: "adaptive",
        base: 185,
        before: [7_875, 3_642, 29, 4_204],
        degraded: [35_980, 33_296, 1_413, 1_271],
        after: [3_920, 3_792, 31, 97],
    },
    Published {
        scenario: "spike 20 %",
        breaker: "classic",
        base: 253,
        before: [15_183, 15_046, 137, 0],
        degraded: [16_789, 2_840, 697, 13_252],
        after: [31_034, 13_203, 119, 17_712],
    },
    Published {
        scenario: "spike 20 %",
        breaker: "adaptive",
        base: 596,
        before: [35_779, 35_383, 391, 5],
        degraded: [16_657, 11_103, 2_641, 2_913],
        after: [36_947, 35_614, 386, 947],
    },
    Published {
        scenario: "spike 100 %",
        breaker: "classic",
        base: 337,
        before: [20_204, 19_987, 217, 0],
        degraded: [18_587, 158, 708, 17_721],
        after: [26_969, 16_171, 169, 10_629],
    },
    Published {
        scenario: "spike 100 %",
        breaker: "adaptive",
        base: 529,
        before: [31_752, 31_371, 370, 11],
        degraded: [18_589, 238, 3_401, 14_950],
        after: [40_395, 23_828, 231, 16_336],
    },
    Published {
        scenario: "spikes 20/60/100 %",
        breaker: "classic",
        base: 492,
        before: [29_532, 29_235, 297, 0],
        degraded: [54_046, 3_906, 2_159, 47_981],
        after: [121_466, 72_179, 745, 48_542],
    },
    Published {
        scenario: "spikes 20/60/100 %",
        breaker: "adaptive",
        base: 313,
        before: [18_793, 18_590, 186, 17],
        degraded: [43_319, 7_544, 5_970, 29_805],
        after: [78_038, 49_063, 523, 28_452],
    },
    Published {
        scenario: "sustained 20 %",
        breaker: "classic",
        base: 502,
        before: [60_218, 59_599, 619, 0],
        degraded: [255_201, 28_415, 7_001, 219_785],
        after: [65_758, 55_862, 554, 9_342],
    },
    Published {
        scenario: "sustained 20 %",
        breaker: "adaptive",
        base: 311,
        before: [37_439, 36_982, 369, 88],
        degraded: [147_098, 87_110, 21_942, 38_046],
        after: [38_830, 37_487, 427, 916],
    },
    Published {
        scenario: "one of many",
        breaker: "classic",
        base: 296,
        before: [8_881, 8_787, 86, 8],
        degraded: [62_558, 55_654, 1_234, 5_670],
        after: [26_540, 25_730, 282, 528],
    },
    Published {
        scenario: "one of many",
        breaker: "adaptive",
        base: 323,
        before: [9_860, 9_579, 109, 172],
        degraded: [61_003, 53_287, 1_338, 6_378],
        after: [29_700, 28_379, 339, 982],
    },
    Published {
        scenario: "slow query",
        breaker: "classic",
        base: 278,
        before: [8_679, 8_124, 217, 338],
        degraded: [47_893, 42_941, 1_735, 3_217],
        after: [21_694, 20_392, 521, 781],
    },
    Published {
        scenario: "slow query",
        breaker: "adaptive",
        base: 405,
        before: [12_278, 12_041, 98, 139],
        degraded: [93_736, 83_517, 1_869, 8_350],
        after: [38_734, 37_450, 355, 929],
    },
];
