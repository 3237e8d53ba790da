//! Three slots in which processes live and die.

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runtime::clock::Clock;
use rustix::process::{Signal, kill_process};
use wire::Timestamp;

use super::{Cluster, Deed, ORDERS, Order, Owners, STANDS, all};
use crate::home::Home;
use crate::process::Process;
use crate::random::Random;
use crate::wait;

/// Time between two deeds, give or take a half.
const BETWEEN: Duration = Duration::from_secs(8);
/// Beyond the time for which an order stands, a process is killed or stopped where it is.
const BEYOND: Duration = Duration::from_millis(500);
/// Longest until a process is started again: beyond the next deed, so that two may be gone.
const AWAY_MS: u64 = 10_000;
/// A pause is longer than the session (6 s) and shorter than what gives up a source partition.
const STOP_MS: (u64, u64) = (7_000, 13_000);
/// One deed in so many is a pause; with one in so many a broker goes.
const STOPS: u64 = 8;
const BROKERS: u64 = 10;
const TICK: Duration = Duration::from_millis(20);

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Deeds {
    /// `kill -9` at a place.
    pub at_places: BTreeMap<String, u32>,
    /// `kill -9` of a process that did not come by its place.
    pub anywhere: u32,
    pub stops: u32,
    /// Starts that failed, as a cluster that is not whole may make them.
    pub failed_starts: u32,
}

impl Deeds {
    #[must_use]
    pub fn kills(&self) -> u32 {
        self.anywhere + self.at_places.values().sum::<u32>()
    }
}

/// The processes, and what is done to them.
pub struct Arena {
    slots: Vec<Slot>,
    random: Random,
    clock: Clock,
    lives: usize,
    pub deeds: Deeds,
    pub owners: Owners,
}

struct Slot {
    home: Home,
    /// Which life it is, over all slots.
    life: usize,
    state: State,
}

enum State {
    /// Started at this time.
    Down(Instant),
    Starting(JoinHandle<Result<Process, String>>),
    Running(Process),
    Ordered(Process, Order, Instant),
    Stopped(Process, Instant),
}

impl Arena {
    #[must_use]
    pub fn new(homes: Vec<Home>, seed: u64) -> Self {
        let now = now();
        let slots = homes.into_iter().map(|home| Slot { home, life: 0, state: State::Down(now) });
        Self {
            slots: slots.collect(),
            random: Random::new(seed),
            clock: Clock::start(),
            lives: 0,
            deeds: Deeds::default(),
            owners: Owners::default(),
        }
    }

    /// Goes on until so many processes were killed and `is_enough`; `watch` is called now and then.
    pub fn play(
        &mut self,
        cluster: &mut Cluster,
        kills: u32,
        is_enough: impl Fn() -> bool,
        mut watch: impl FnMut(&Deeds),
    ) {
        let mut next = now() + BETWEEN;
        while self.deeds.kills() < kills || !is_enough() {
            let now = now();
            if next <= now && self.deed(now) {
                next = now + BETWEEN / 2 + BETWEEN.mul_f64(self.random.unit());
                if cluster.is_whole() && self.random.below(BROKERS) == 0 {
                    let gone = Duration::from_millis(3_000 + self.random.below(9_000));
                    cluster.lose(self.random.bits(), now, gone);
                }
                watch(&self.deeds);
            }
            self.step(now);
            cluster.step(now);
            std::thread::sleep(TICK);
        }
    }

    /// Goes on without deeds until all processes run and all brokers serve.
    pub fn settle(&mut self, cluster: &mut Cluster) {
        wait::until("everything runs again", || {
            self.step(now());
            cluster.step(now());
            let run = |slot: &Slot| matches!(slot.state, State::Running(_));
            (cluster.is_whole() && self.slots.iter().all(run)).then_some(())
        });
    }

    /// Asks all to end, and returns whose homes they were.
    pub fn end(&mut self) -> Vec<Home> {
        let mut homes = vec![];
        for slot in std::mem::take(&mut self.slots) {
            let State::Running(process) = slot.state else { panic!("it was settled") };
            process.until_ready();
            let (ended, said) = process.terminate();
            assert!(ended.success(), "{ended}: {said}");
            self.owners.lived(slot.life, &said, None);
            homes.push(slot.home);
        }
        homes
    }

    /// The homes, for commands to what runs in them.
    pub fn homes(&self) -> impl Iterator<Item = &Home> {
        self.slots.iter().map(|slot| &slot.home)
    }

    /// Gives an order to one of those that run. Whether there was one.
    fn deed(&mut self, now: Instant) -> bool {
        let running = self.slots.iter_mut().filter(|slot| matches!(slot.state, State::Running(_)));
        let mut running: Vec<&mut Slot> = running.collect();
        let Some(last) = running.len().checked_sub(1) else { return false };
        let which = usize::try_from(self.random.below(last as u64 + 1)).expect("below three");
        let deed = if self.random.below(STOPS) == 0 { Deed::Stop } else { Deed::Kill };
        let mut orders: Vec<Order> = all().filter(|order| order.deed == deed).collect();
        self.random.shuffle(&mut orders);
        let slot = &mut running[which];
        let State::Running(process) = std::mem::replace(&mut slot.state, State::Down(now)) else {
            unreachable!("only those that run were asked")
        };
        slot.home.write("orders", orders[0].to_string());
        slot.state = State::Ordered(process, orders[0], now + STANDS + BEYOND);
        true
    }

    fn step(&mut self, now: Instant) {
        for slot in &mut self.slots {
            if let State::Running(process) = &mut slot.state {
                assert!(process.runs(), "a process ended by itself:\n{}", process.said());
            }
            slot.state = match std::mem::replace(&mut slot.state, State::Down(now)) {
                State::Down(at) if at <= now => {
                    self.lives += 1;
                    slot.life = self.lives;
                    slot.start()
                }
                State::Starting(thread) if thread.is_finished() => {
                    match thread.join().expect("starting does not panic") {
                        Ok(process) => State::Running(process),
                        Err(_) => {
                            self.deeds.failed_starts += 1;
                            State::Down(now + Duration::from_secs(1))
                        }
                    }
                }
                State::Ordered(process, order, by) => ordered(
                    slot,
                    process,
                    order,
                    by,
                    &mut Doing {
                        now,
                        wall: self.clock.now().wall,
                        random: &mut self.random,
                        deeds: &mut self.deeds,
                        owners: &mut self.owners,
                    },
                ),
                State::Stopped(process, until) if until <= now => {
                    signal(&process, Signal::CONT);
                    State::Running(process)
                }
                state @ (State::Down(_) | State::Starting(_) | State::Running(_) | State::Stopped(..)) => {
                    state
                }
            };
        }
    }
}

impl Slot {
    fn start(&self) -> State {
        let orders = self.home.path("orders");
        drop(std::fs::remove_file(&orders));
        let mut command =
            self.home.command(&["run", "--config", "tocsin.toml", "--json", "--log-format", "json"]);
        command.env(ORDERS, orders);
        State::Starting(std::thread::spawn(move || Process::of(command)))
    }
}

/// What an order needs that is carried out.
struct Doing<'a> {
    now: Instant,
    wall: Timestamp,
    random: &'a mut Random,
    deeds: &'a mut Deeds,
    owners: &'a mut Owners,
}

fn ordered(slot: &Slot, mut process: Process, order: Order, by: Instant, doing: &mut Doing<'_>) -> State {
    let late = by <= doing.now;
    match order.deed {
        Deed::Kill if !process.runs() => {
            let place = format!("{} {:?} {:?}", order.role, order.side, order.call).to_lowercase();
            *doing.deeds.at_places.entry(place).or_default() += 1;
        }
        Deed::Kill if late => {
            signal(&process, Signal::KILL);
            doing.deeds.anywhere += 1;
        }
        Deed::Stop if late || is_stopped(&process) => {
            signal(&process, Signal::STOP);
            doing.deeds.stops += 1;
            doing.owners.lived(slot.life, &process.said(), Some(doing.wall));
            let (least, most) = STOP_MS;
            let until = doing.now + Duration::from_millis(least + doing.random.below(most - least));
            return State::Stopped(process, until);
        }
        Deed::Kill | Deed::Stop => return State::Ordered(process, order, by),
    }
    doing.owners.lived(slot.life, &process.ended(), Some(doing.wall));
    State::Down(doing.now + Duration::from_millis(doing.random.below(AWAY_MS)))
}

fn signal(process: &Process, signal: Signal) {
    kill_process(process.pid(), signal).expect("it is our child, and not waited for");
}

/// Linux: the third field, behind the name in brackets.
fn is_stopped(process: &Process) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid().as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
}

#[expect(clippy::disallowed_methods, reason = "deeds are done by the clock")]
fn now() -> Instant {
    Instant::now()
}
