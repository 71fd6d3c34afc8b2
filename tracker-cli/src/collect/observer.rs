//! Looks at the processes from outside: resident memory, thread names, module files, their end. A thread of its own,
//! because a file on a slow disk must not keep the lanes waiting.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tracker_core::capture::meta::Meta;

use super::Clock;
use super::images::Images;
use super::modules::Modules;
use super::proc::{self, Sight};
use super::queue::Queue;
use crate::elf;
use crate::sys::fd::{Event, poll_many};
use crate::sys::lanes::LanesFile;
use crate::sys::process;

/// Most news waiting. A program that floods us loses names, not events.
const CAPACITY: usize = 8192;

/// A process is looked at this often; more often while it is young.
const SAMPLE: Duration = Duration::from_secs(1);
const FIRST_SAMPLE: Duration = Duration::from_millis(10);

/// Searching all processes for missing ones costs milliseconds: it waits until some have come together.
const SEARCH: Duration = Duration::from_millis(250);

/// What the drain found in the records.
#[derive(Debug)]
pub(super) enum News {
    Image {
        image: u32,
        pid: u32,
        /// The image it came from.
        parent: u32,
        first: bool,
        time: u64,
    },
    Module {
        image: u32,
        build_id: Vec<u8>,
        path: Vec<u8>,
    },
    Thread {
        image: u32,
        tid: u32,
    },
    /// The tree has ended.
    Finish,
}

/// The near end.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    sender: SyncSender<News>,
    bell: Arc<Event>,
}

impl Reporter {
    /// One that nobody listens to.
    #[cfg(test)]
    pub(super) fn unheard() -> std::io::Result<Self> {
        Ok(Self { sender: sync_channel(1).0, bell: Arc::new(Event::new()?) })
    }

    pub(super) fn tell(&self, news: News) {
        if self.sender.try_send(news).is_ok() {
            self.bell.notify();
        }
    }

    /// Says that there will be no more news.
    pub(super) fn finish(self) {
        // Fails only when the observer is gone already.
        let _ = self.sender.send(News::Finish);
        self.bell.notify();
    }
}

#[derive(Debug)]
struct Image {
    pid: u32,
    /// Readable when the process is gone.
    watch: OwnedFd,
    /// What it runs; something else after an exec that we cannot follow.
    program: Option<(u64, u64)>,
    threads: HashMap<u32, Vec<u8>>,
    interval: Duration,
    next: Instant,
}

/// An image whose process was not where it should be: gone before we looked, or in a pid namespace of its own.
#[derive(Debug, Clone, Copy)]
struct Missing {
    image: u32,
    own_pid: u32,
    time: u64,
    /// There is a process with this id that we may not look into.
    unclear: bool,
}

/// The far end.
#[derive(Debug)]
pub(super) struct Observer {
    receiver: Receiver<News>,
    bell: Arc<Event>,
    clock: Clock,
    queue: Queue,
    register: Arc<Images>,
    lanes: Arc<LanesFile>,
    lanes_inode: u64,
    /// The process that the parent started, as the parent knows it, and the file it runs.
    root: u32,
    program: PathBuf,
    images: HashMap<u32, Image>,
    /// Of every image its parent and what it calls its process.
    origins: HashMap<u32, (u32, u32)>,
    /// Device and inode of the programs that were looked at.
    inspected: HashSet<(u64, u64)>,
    missing: Vec<Missing>,
    next_search: Instant,
    modules: Modules,
}

impl Observer {
    pub(super) fn new(
        (root, program): (u32, PathBuf),
        clock: Clock,
        queue: Queue,
        register: Arc<Images>,
        lanes: Arc<LanesFile>,
    ) -> std::io::Result<(Reporter, Self)> {
        let (sender, receiver) = sync_channel(CAPACITY);
        let bell = Arc::new(Event::new()?);
        let lanes_inode = lanes.inode()?;
        let reporter = Reporter { sender, bell: Arc::clone(&bell) };
        let observer = Self {
            receiver,
            bell,
            clock,
            queue,
            register,
            lanes,
            lanes_inode,
            root,
            program,
            images: HashMap::new(),
            origins: HashMap::new(),
            inspected: HashSet::new(),
            missing: Vec::new(),
            next_search: Instant::now(),
            modules: Modules::default(),
        };
        Ok((reporter, observer))
    }

    /// Works until [`Reporter::finish`].
    pub(super) fn work(mut self) {
        // Here and not before the start: it may be a large file, and now the program runs already.
        let program = std::mem::take(&mut self.program);
        self.inspect(&program, &program.display().to_string());
        loop {
            let search = (!self.missing.is_empty()).then_some(self.next_search);
            let next = self.images.values().map(|image| image.next).chain(search).min();
            let wait = next.map(|next| next.saturating_duration_since(Instant::now()));
            let numbers: Vec<u32> = self.images.keys().copied().collect();
            let watches = numbers.iter().filter_map(|number| Some(self.images.get(number)?.watch.as_fd()));
            let ready = poll_many(std::iter::once(self.bell.as_fd()).chain(watches), wait);
            self.bell.clear();
            while let Ok(news) = self.receiver.try_recv() {
                if matches!(news, News::Finish) {
                    return self.finish();
                }
                self.learn(news);
            }
            for (image, gone) in numbers.into_iter().zip(ready.into_iter().skip(1)) {
                if gone {
                    self.end(image, self.clock.now());
                }
            }
            self.sample();
            self.search();
        }
    }

    /// Looks, once for each file, whether allocations of the programs it is run as are not seen.
    fn inspect(&mut self, file: &Path, name: &str) {
        let Ok(metadata) = file.metadata() else { return };
        if self.inspected.insert((metadata.dev(), metadata.ino())) {
            for text in elf::unseen(file) {
                self.queue.meta(Meta::Warning { text: format!("{name}: {text}") });
            }
        }
    }

    fn learn(&mut self, news: News) {
        match news {
            News::Image { image, pid, parent, first, time } => {
                self.origins.insert(image, (parent, pid));
                self.new_image(image, pid, first, time);
            }
            News::Module { image, build_id, path } => {
                let pid = self.images.get(&image).map(|image| image.pid);
                self.modules.first_sight(image, pid, path, build_id, &self.queue);
            }
            News::Thread { image: number, tid } => {
                let Some(image) = self.images.get_mut(&number) else { return };
                if let Entry::Vacant(place) = image.threads.entry(tid) {
                    place.insert(Vec::new());
                    name_threads(number, image, &self.queue, Some(tid));
                }
            }
            News::Finish => {}
        }
    }

    fn new_image(&mut self, image: u32, own_pid: u32, first: bool, time: u64) {
        if self.images.contains_key(&image) {
            return;
        }
        if self.is_replaced(image, own_pid) {
            return self.lay_to_rest(image, time);
        }
        if self.has_later(image, own_pid) {
            // Probably replaced, too, by images in between that we have not heard of yet.
            return self.missing.push(Missing { image, own_pid, time, unclear: true });
        }
        if first {
            if self.admit(image, self.root, true, time) == Sight::Absent {
                self.lay_to_rest(image, self.clock.now());
            }
            return;
        }
        let sight = match proc::sight(own_pid, self.lanes_inode, self.root) {
            Sight::Here => self.admit(image, own_pid, true, time),
            sight => sight,
        };
        if sight != Sight::Here {
            if self.missing.is_empty() {
                self.next_search = self.next_search.max(Instant::now() + SEARCH);
            }
            self.missing.push(Missing { image, own_pid, time, unclear: sight == Sight::Unclear });
        }
    }

    /// Whether a later image is known for the same process id. Chunks of different streams are taken in any order, so an
    /// image may become known after one that followed it by exec.
    fn has_later(&self, image: u32, own_pid: u32) -> bool {
        self.images.iter().any(|(&later, known)| known.pid == own_pid && later > image)
    }

    /// Whether a living image has replaced this one by exec: the same process, and its origin.
    fn is_replaced(&self, image: u32, own_pid: u32) -> bool {
        let alive = self.images.iter().filter(|(later, known)| known.pid == own_pid && **later > image);
        alive.into_iter().any(|(&later, _)| {
            let before = |number: &u32| {
                let &(parent, pid) = self.origins.get(number)?;
                // Numbers are drawn in order of time, so this ends.
                (pid == own_pid && parent < *number).then_some(parent)
            };
            std::iter::successors(Some(later), before).any(|number| number == image)
        })
    }

    fn lay_to_rest(&mut self, image: u32, time: u64) {
        self.register.is_gone(image);
        self.queue.meta(Meta::ImageEnd { time, image });
    }

    /// Begins to watch process `pid` as `image`, unless it is gone. `threads`: its thread ids mean the same to us. One that
    /// cannot be watched (no descriptor is left) stays unknown.
    fn admit(&mut self, number: u32, pid: u32, threads: bool, time: u64) -> Sight {
        let watch = match process::watch(pid) {
            Ok(watch) => watch,
            Err(error) if process::is_absence(&error) => return Sight::Absent,
            Err(_) => return Sight::Unclear,
        };
        // An exec ends the image that the process was before.
        let same = |(earlier, image): &(&u32, &Image)| image.pid == pid && **earlier < number;
        let before: Vec<u32> = self.images.iter().filter(same).map(|(earlier, _)| *earlier).collect();
        for earlier in before {
            self.end(earlier, time);
        }
        self.register.is_alive(number, pid, threads);
        let image = Image {
            pid,
            watch,
            program: proc::program(pid),
            threads: HashMap::new(),
            interval: FIRST_SAMPLE,
            next: Instant::now(),
        };
        self.images.insert(number, image);
        let exe = PathBuf::from(format!("/proc/{pid}/exe"));
        if let Ok(name) = exe.read_link() {
            self.inspect(&exe, &name.display().to_string());
        }
        Sight::Here
    }

    /// Looks for missing images in other pid namespaces; those that are not there either are gone.
    fn search(&mut self) {
        if self.missing.is_empty() || Instant::now() < self.next_search {
            return;
        }
        let elsewhere = proc::in_other_namespaces(self.lanes_inode);
        for missing in std::mem::take(&mut self.missing) {
            let Missing { image, own_pid, time, unclear } = missing;
            if self.is_replaced(image, own_pid) {
                self.lay_to_rest(image, time);
                continue;
            }
            let seen = match elsewhere.get(&own_pid) {
                Some(&Some(pid)) => self.admit(image, pid, false, time),
                Some(None) => Sight::Unclear,
                None => Sight::Absent,
            };
            match seen {
                Sight::Absent if !unclear => self.lay_to_rest(image, self.clock.now()),
                Sight::Absent if self.has_later(image, own_pid) => self.missing.push(missing),
                Sight::Here | Sight::Absent | Sight::Unclear => {}
            }
        }
        self.next_search = Instant::now() + SEARCH;
    }

    fn end(&mut self, image: u32, time: u64) {
        if self.images.remove(&image).is_some() {
            self.lay_to_rest(image, time);
        }
    }

    /// Looks at every process whose time has come.
    fn sample(&mut self) {
        let now = Instant::now();
        let mut replaced = Vec::new();
        for (&number, image) in self.images.iter_mut().filter(|(_, image)| image.next <= now) {
            image.interval = (image.interval * 2).min(SAMPLE);
            image.next = now + image.interval;
            if image.program.is_some_and(|program| proc::program(image.pid).is_some_and(|now| now != program)) {
                replaced.push(number);
                continue;
            }
            name_threads(number, image, &self.queue, None);
            if let Some(rss) = proc::rss(image.pid) {
                // How many of the lanes' pages this process maps is not known; it touches most of them.
                let shmem = rss.shmem.saturating_sub(self.lanes.resident_bytes());
                let (time, anon, file) = (self.clock.now(), rss.anon, rss.file);
                let high = rss.high.saturating_sub(rss.shmem - shmem);
                self.queue.meta(Meta::Rss { time, image: number, anon, file, shmem, high });
            }
        }
        for image in replaced {
            self.end(image, self.clock.now());
        }
    }

    fn finish(mut self) {
        let now = self.clock.now();
        self.missing.drain(..).for_each(|lost| self.queue.meta(Meta::ImageEnd { time: now, image: lost.image }));
        for image in self.images.keys().copied().collect::<Vec<_>>() {
            self.end(image, now);
        }
        self.modules.embed_lost(&self.queue);
    }
}

/// Records the names that changed, of one thread or of all.
fn name_threads(number: u32, image: &mut Image, queue: &Queue, only: Option<u32>) {
    let pid = image.pid;
    image.threads.retain(|&tid, known| {
        if only.is_some_and(|only| only != tid) {
            return true;
        }
        let Some(name) = proc::thread_name(pid, tid) else { return false };
        if *known != name {
            known.clone_from(&name);
            queue.meta(Meta::ThreadName { image: number, tid, name });
        }
        true
    });
}
