// The crate `croner`, driven as bench/cron/cron_bench.cc says.
use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use std::str::FromStr;

const START: i64 = 1_767_225_600;
const END: i64 = 2_082_758_400;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let zone: Tz = args[2].parse().expect("a zone");
    let text = std::fs::read_to_string(&args[3]).expect("the file");
    let all: Vec<Cron> = text.lines().map(|l| Cron::from_str(l).expect("an expression")).collect();
    if args[1] == "rate" {
        rate(&all, zone, args[4].parse().expect("steps"));
    } else {
        list(&all, zone, &args[4], &args[5]);
    }
}

fn rate(all: &[Cron], zone: Tz, steps: u64) {
    let start = zone.timestamp_opt(START, 0).unwrap();
    let mut checksum = 0u64;
    for cron in all {
        let mut t = start;
        for _ in 0..steps {
            t = match cron.find_next_occurrence(&t, false) {
                Ok(next) if next.timestamp() < END => next,
                _ => start,
            };
            checksum = checksum.wrapping_add(t.timestamp() as u64);
        }
    }
    println!("{} {}", steps * all.len() as u64, checksum);
}

fn list(all: &[Cron], zone: Tz, from: &str, until: &str) {
    let from: DateTime<Utc> = from.parse().expect("from");
    let until: DateTime<Utc> = until.parse().expect("until");
    let before = (from - chrono::Duration::seconds(1)).with_timezone(&zone);
    for (n, cron) in all.iter().enumerate() {
        let mut t = before;
        while let Ok(next) = cron.find_next_occurrence(&t, false) {
            if next >= until || next <= t {
                break;
            }
            println!("{}\t{}", n, next.timestamp());
            t = next;
        }
    }
}
