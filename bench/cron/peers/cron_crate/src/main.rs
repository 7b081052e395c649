// The crate `cron`, driven as bench/cron/cron_bench.cc says. It wants seconds first, and gets its
// fastest form: one iterator for a whole chain.
use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use cron::Schedule;
use std::str::FromStr;

const START: i64 = 1_767_225_600;
const END: i64 = 2_082_758_400;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let zone: Tz = args[2].parse().expect("a zone");
    let text = std::fs::read_to_string(&args[3]).expect("the file");
    let all: Vec<Schedule> =
        text.lines().map(|l| Schedule::from_str(&format!("0 {l}")).expect("an expression")).collect();
    if args[1] == "rate" {
        rate(&all, zone, args[4].parse().expect("steps"));
    } else {
        list(&all, zone, &args[4], &args[5]);
    }
}

fn rate(all: &[Schedule], zone: Tz, steps: u64) {
    let start = zone.timestamp_opt(START, 0).unwrap();
    let mut checksum = 0u64;
    for schedule in all {
        let mut chain = schedule.after(&start);
        for _ in 0..steps {
            let t = match chain.next().map(|t| t.timestamp()) {
                Some(t) if t < END => t,
                _ => {
                    chain = schedule.after(&start);
                    START
                }
            };
            checksum = checksum.wrapping_add(t as u64);
        }
    }
    println!("{} {}", steps * all.len() as u64, checksum);
}

fn list(all: &[Schedule], zone: Tz, from: &str, until: &str) {
    let from: DateTime<Utc> = from.parse().expect("from");
    let until: DateTime<Utc> = until.parse().expect("until");
    let before = (from - chrono::Duration::seconds(1)).with_timezone(&zone);
    for (n, schedule) in all.iter().enumerate() {
        for t in schedule.after(&before).take_while(|t| *t < until) {
            println!("{}\t{}", n, t.timestamp());
        }
    }
}
