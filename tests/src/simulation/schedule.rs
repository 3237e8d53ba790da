//! Who runs when: loops as tasks of processes that may be killed, stopped and started again. All tasks of a story share
//! one thread: each has a stack of its own and runs until it waits.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use generator::{Generator, Gn};
use runtime::clock::Now;
use runtime::host::Step;
use runtime::log::LogError;
use wire::Timestamp;

use super::chaos::{Chaos, Deed};
use crate::random::Random;
use crate::simulated::{Host, Point, SimLog, World, lock};

/// Longest rest of a loop with nothing to do, and the time that a step with something to do takes.
const REST: Duration = Duration::from_millis(200);
const WORK: Duration = Duration::from_millis(3);
/// A log that does not answer is asked again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// Of each task, in words; what is not used of it takes no memory.
const STACK: usize = (2 << 20) / size_of::<usize>();

/// What was done at which point to a loop of which role, and how often.
pub type Coverage = BTreeMap<(&'static str, Point, &'static str), u64>;

/// How a task ended.
#[derive(Debug)]
pub enum Ended {
    Closed,
    Killed,
    Failed(LogError),
    /// A panic that was not ours: a defect.
    Panicked(String),
}

/// Thrown through a loop that is killed.
struct Killed;

enum Resume {
    Go,
    Die,
}

enum Said {
    /// It waits until this time.
    Waits(Duration),
    Ended(Ended),
}

#[derive(Debug, Default)]
struct Process {
    doomed: bool,
    stopping: bool,
    stopped_until: Option<Duration>,
    /// What happens to it at the next such point, of a role if one is named.
    armed: Option<(Deed, Option<Point>, Option<&'static str>)>,
}

struct State {
    now: Duration,
    random: Random,
    chaos: Chaos,
    processes: Vec<Process>,
    coverage: Coverage,
}

struct Task {
    process: usize,
    role: &'static str,
    wake: Duration,
    body: Generator<'static, Resume, Said>,
}

impl Task {
    /// Lets it run to where it waits or ends.
    fn resume(&mut self, how: Resume) -> Said {
        self.body.raw_send(Some(how)).expect("a task says how it ended, and is not resumed after it")
    }
}

/// A loop's place in the world.
pub struct TaskHost {
    process: usize,
    role: &'static str,
    state: Arc<Mutex<State>>,
    world: Arc<Mutex<World>>,
    wall: Timestamp,
}

#[expect(
    deprecated,
    reason = "the scope that is asked for instead cannot be kept in a log that lives as long as its loop"
)]
fn yield_to_others(said: Said) -> Option<Resume> {
    generator::yield_(said)
}

#[expect(deprecated, reason = "as above")]
fn first_resume() -> Option<Resume> {
    generator::get_yield()
}

/// Lets others run until the time has come.
fn wait_until(wake: Duration) {
    go_on(yield_to_others(Said::Waits(wake)));
}

/// Goes on, or ends here by a panic of ours.
fn go_on(how: Option<Resume>) {
    match how {
        Some(Resume::Go) => (),
        Some(Resume::Die) | None => resume_unwind(Box::new(Killed)),
    }
}

impl TaskHost {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Both clocks.
    #[must_use]
    pub fn clocks(&self) -> Now {
        let mono = self.state().now;
        Now { wall: self.wall.plus_ms(i64::try_from(mono.as_millis()).unwrap_or(i64::MAX)), mono }
    }

    fn wait(&self, time: Duration) {
        let now = self.state().now;
        wait_until(now + time);
    }

    fn is_stopping(&self) -> bool {
        self.state().processes[self.process].stopping
    }

    /// What is done to the process here, if anything.
    fn deed(&self, point: Point) -> Option<Deed> {
        let mut state = self.state();
        let State { processes, coverage, random, chaos, now, .. } = &mut *state;
        let process = &mut processes[self.process];
        let due = process.armed.is_some_and(|(_, at, role)| {
            at.is_none_or(|at| at == point) && role.is_none_or(|role| role == self.role)
        });
        let deed =
            if due { process.armed.take().map(|(deed, ..)| deed) } else { chaos.at(point, *now, random) };
        if let Some(deed) = deed {
            *coverage.entry((self.role, point, deed.name())).or_default() += 1;
            match deed {
                Deed::Kill => process.doomed = true,
                Deed::Stop(time) => process.stopped_until = Some(*now + time),
                Deed::Delay(_) => (),
            }
        }
        deed
    }

    fn run<W: Step>(&self, build: impl FnOnce() -> Result<W, LogError>) -> Ended {
        go_on(first_resume());
        let mut work = match build() {
            Ok(work) => work,
            Err(error) => return Ended::Failed(error),
        };
        loop {
            if self.is_stopping() {
                return work.close(self.clocks()).map_or_else(Ended::Failed, |()| Ended::Closed);
            }
            let now = self.clocks();
            match work.step(now) {
                Ok(stepped) if stepped.worked => self.wait(WORK),
                Ok(stepped) => {
                    let until = stepped.next.unwrap_or(now.mono + REST).min(now.mono + REST);
                    wait_until(until.max(now.mono + WORK));
                }
                Err(LogError::Retriable { .. }) => self.wait(AGAIN),
                Err(error) => return Ended::Failed(error),
            }
        }
    }
}

impl Host for TaskHost {
    fn now(&self) -> Duration {
        self.state().now
    }

    fn at(&self, point: Point) {
        match self.deed(point) {
            None => (),
            Some(Deed::Kill) => resume_unwind(Box::new(Killed)),
            Some(Deed::Stop(time)) => {
                lock(&self.world).stop(self.process);
                self.wait(time);
            }
            Some(Deed::Delay(time)) => self.wait(time),
        }
    }

    fn process(&self) -> usize {
        self.process
    }

    fn is_dead(&self) -> bool {
        self.state().processes[self.process].doomed
    }
}

/// Runs tasks, one at a time, in the order of the seed.
pub struct Scheduler {
    state: Arc<Mutex<State>>,
    world: Arc<Mutex<World>>,
    wall: Timestamp,
    tasks: Vec<Task>,
    /// Roles that ended by an error or a panic, with why.
    pub failures: Vec<(usize, &'static str, String)>,
}

impl Scheduler {
    #[must_use]
    pub fn new(seed: u64, world: Arc<Mutex<World>>, wall: Timestamp, chaos: Chaos) -> Self {
        let random = Random::new(seed ^ 0x5c4e_d01e);
        let (now, processes, coverage) = (Duration::ZERO, vec![], Coverage::new());
        let state = State { now, random, chaos, processes, coverage };
        Self { state: Arc::new(Mutex::new(state)), world, wall, tasks: vec![], failures: vec![] }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[must_use]
    pub fn now(&self) -> Duration {
        self.state().now
    }

    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.state().coverage.clone()
    }

    /// A new process, which has no tasks yet.
    pub fn process(&mut self) -> usize {
        let mut state = self.state();
        state.processes.push(Process::default());
        state.processes.len() - 1
    }

    /// Starts a loop in a process.
    pub fn spawn<W: Step>(
        &mut self,
        process: usize,
        build: impl FnOnce(SimLog, &Arc<TaskHost>) -> Result<W, LogError> + Send + 'static,
    ) {
        let host = Arc::new(TaskHost {
            process,
            role: W::ROLE,
            state: Arc::clone(&self.state),
            world: Arc::clone(&self.world),
            wall: self.wall,
        });
        let world = Arc::clone(&self.world);
        let body = move || {
            let log = SimLog::new(world, Arc::clone(&host) as Arc<dyn Host>);
            let ran = catch_unwind(AssertUnwindSafe(|| host.run(|| build(log, &host))));
            Said::Ended(ran.unwrap_or_else(|thrown| {
                if thrown.is::<Killed>() {
                    return Ended::Killed;
                }
                let text = thrown.downcast_ref::<String>().cloned();
                let text = text.or_else(|| thrown.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                Ended::Panicked(text.unwrap_or_else(|| "a panic without words".to_owned()))
            }))
        };
        let (wake, body) = (self.now(), Gn::new_opt(STACK, body));
        self.tasks.push(Task { process, role: W::ROLE, wake, body });
    }

    /// Something is done to a process at the next such point (of a role), or wherever it comes next.
    pub fn arm(&mut self, process: usize, deed: Deed, at: Option<Point>, role: Option<&'static str>) {
        self.state().processes[process].armed = Some((deed, at, role));
    }

    /// Asks the loops of a process to finish.
    pub fn ask_to_stop(&mut self, process: usize) {
        self.state().processes[process].stopping = true;
    }

    /// From now on this goes wrong.
    pub fn set_chaos(&mut self, chaos: Chaos) {
        self.state().chaos = chaos;
    }

    /// Nothing goes wrong any more.
    pub fn calm(&mut self) {
        let mut state = self.state();
        state.chaos = Chaos::none();
        state.processes.iter_mut().for_each(|process| process.armed = None);
    }

    /// Processes with tasks, in order.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        let mut running: Vec<usize> = self.tasks.iter().map(|task| task.process).collect();
        running.sort_unstable();
        running.dedup();
        running
    }

    /// When a task may go on: not while its process is stopped.
    fn due(&self, task: &Task) -> Duration {
        let until = self.state().processes[task.process].stopped_until;
        until.map_or(task.wake, |until| until.max(task.wake))
    }

    /// Runs what is due before `until`; then it is `until`. Returns the processes that ended meanwhile.
    pub fn run_until(&mut self, until: Duration) -> Vec<usize> {
        let mut gone = vec![];
        loop {
            let next = (0..self.tasks.len()).map(|i| (self.due(&self.tasks[i]), i)).min();
            let Some((due, i)) = next.filter(|(due, _)| *due < until) else { break };
            self.pass(due);
            let process = self.tasks[i].process;
            self.wake(process, due);
            if self.resume(i) {
                self.end(process);
                gone.push(process);
            }
        }
        self.pass(until);
        gone
    }

    fn pass(&mut self, to: Duration) {
        let mut state = self.state();
        state.now = state.now.max(to);
        let now = state.now;
        drop(state);
        lock(&self.world).pass(now);
    }

    /// A stopped process goes on.
    fn wake(&mut self, process: usize, now: Duration) {
        let mut state = self.state();
        let until = &mut state.processes[process].stopped_until;
        if until.is_some_and(|until| until <= now) {
            *until = None;
            drop(state);
            lock(&self.world).go_on(process);
        }
    }

    /// Lets a task run to where it waits. True if its process is over.
    fn resume(&mut self, i: usize) -> bool {
        let task = &mut self.tasks[i];
        match task.resume(Resume::Go) {
            Said::Waits(wake) => {
                task.wake = wake;
                false
            }
            Said::Ended(ended) => {
                let (process, role) = (task.process, task.role);
                self.tasks.remove(i);
                match ended {
                    // The others of its process are still closing.
                    Ended::Closed => return !self.tasks.iter().any(|t| t.process == process),
                    Ended::Killed => (),
                    Ended::Failed(error) => self.failures.push((process, role, error.to_string())),
                    Ended::Panicked(why) => self.failures.push((process, role, format!("panicked: {why}"))),
                }
                true
            }
        }
    }

    /// All tasks of a process end where they stand.
    pub fn end(&mut self, process: usize) {
        self.state().processes[process].doomed = true;
        lock(&self.world).stop(process);
        for i in (0..self.tasks.len()).rev() {
            if self.tasks[i].process == process {
                let mut task = self.tasks.remove(i);
                let Said::Ended(ended) = task.resume(Resume::Die) else { panic!("it was told to die") };
                if let Ended::Panicked(why) = ended {
                    self.failures.push((process, task.role, format!("panicked while it died: {why}")));
                }
            }
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.running().into_iter().for_each(|process| self.end(process));
    }
}
