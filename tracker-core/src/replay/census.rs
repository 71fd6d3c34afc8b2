//! Who was recorded: images, their threads and their modules, and the numbers that reports show for them.
//!
//! An image that is only mentioned (a stream's header, a parent) exists here too; what it is may be known later or never.

use rustc_hash::FxHashMap;

use crate::format::record::{Arguments, ImageKind};

/// What the record of an image's start says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub kind: ImageKind,
    pub pid: u32,
    /// Index of the image it came from.
    pub parent: Option<u32>,
    /// Generation of its modules when it started.
    pub generation: u32,
    pub exe: Vec<u8>,
    pub arguments: Vec<Vec<u8>>,
}

/// A module's code in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub generation: u32,
    pub start: u64,
    pub end: u64,
    pub bias: u64,
    /// Index of the module.
    pub module: u32,
}

/// One process image.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// As the capture numbers it.
    pub number: u32,
    pub about: Option<About>,
    /// Position among the rows that reports show, from 0.
    pub process: Option<u32>,
    /// When it was first heard of.
    pub start: u64,
    pub end: Option<u64>,
    /// In order of recording.
    pub ranges: Vec<Range>,
    pub lost_events: u64,
    /// The image that it replaced, by exec in the same process.
    pub replaced: Option<u32>,
    /// Most streams of it with events in one epoch.
    pub overlap: u64,
    /// Streams of it that are not read to their end yet.
    pub open_streams: u32,
    /// The collector saw its end; what is left of its streams comes first.
    pub end_due: Option<u64>,
}

impl Image {
    /// Whether its live blocks may still change.
    pub fn is_active(&self) -> bool {
        self.end.is_none() || self.open_streams > 0
    }

    /// Whether blocks it does not know may be its parent's.
    pub fn inherits(&self) -> bool {
        self.about.as_ref().is_some_and(|about| about.kind == ImageKind::Fork)
    }
}

/// One thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// Index of its image.
    pub image: u32,
    pub tid: u32,
}

/// One executable or library.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ModuleName {
    pub path: Vec<u8>,
    pub build_id: Vec<u8>,
}

/// Most modules kept of one image, reloads counted anew. Each lookup looks at all of them, and they come from a file.
const MAX_RANGES: usize = 16 << 10;

/// Everyone.
#[derive(Debug, Default)]
pub struct Census {
    pub images: Vec<Image>,
    by_number: FxHashMap<u32, u32>,
    pub threads: Vec<Thread>,
    thread_ids: FxHashMap<Thread, u32>,
    /// What threads said that they are called, and whether the program chose it.
    thread_names: FxHashMap<Thread, (bool, Vec<u8>)>,
    pub modules: Vec<ModuleName>,
    module_ids: FxHashMap<ModuleName, u32>,
    /// Images in the order of their process rows.
    pub processes: Vec<u32>,
}

impl std::hash::Hash for Thread {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.image) << 32 | u64::from(self.tid));
    }
}

impl Census {
    /// Index of the image with this number, and whether it is new.
    pub fn image(&mut self, number: u32) -> (u32, bool) {
        let next = self.images.len() as u32;
        let index = *self.by_number.entry(number).or_insert(next);
        if index == next {
            self.images.push(Image { number, start: u64::MAX, ..Image::default() });
        }
        (index, index == next)
    }

    /// Index of the image with this number, if it is known.
    pub fn index(&self, number: u32) -> Option<u32> {
        self.by_number.get(&number).copied()
    }

    /// Index of a thread, and whether it is new.
    pub fn thread(&mut self, image: u32, tid: u32) -> (u32, bool) {
        let next = self.threads.len() as u32;
        let thread = Thread { image, tid };
        let index = *self.thread_ids.entry(thread).or_insert(next);
        if index == next {
            self.threads.push(thread);
        }
        (index, index == next)
    }

    /// Takes a thread's name. The one it began with does not undo one that was chosen.
    pub fn name_thread(&mut self, image: u32, tid: u32, chosen: bool, name: &[u8]) {
        let known = self.thread_names.entry(Thread { image, tid }).or_default();
        if chosen || !known.0 {
            *known = (chosen, name.to_vec());
        }
    }

    /// What a thread is called: `sampled` is what was seen from outside. A name that the program chose through the C
    /// library is exact; one that it chose otherwise is only seen from outside, if the thread lived long enough.
    pub fn thread_name<'n>(&'n self, thread: &Thread, sampled: Option<&'n [u8]>) -> &'n [u8] {
        match self.thread_names.get(thread) {
            Some((true, name)) => name,
            recorded => sampled.or(recorded.map(|(_, name)| name.as_slice())).unwrap_or_default(),
        }
    }

    /// Gives the image a process row, if it has none.
    pub fn admit(&mut self, image: u32) {
        if let Some(found) = self.images.get_mut(image as usize).filter(|image| image.process.is_none()) {
            found.process = Some(self.processes.len() as u32);
            self.processes.push(image);
        }
    }

    /// Takes the record of an image's start. A second one for the same image changes nothing.
    pub fn describe(
        &mut self,
        image: u32,
        parent: Option<u32>,
        (kind, pid, generation): (ImageKind, u32, u32),
        (exe, arguments): (&[u8], Arguments<'_>),
    ) {
        let arguments = arguments.iter().map(<[u8]>::to_vec).collect();
        let about = About { kind, pid, parent, generation, exe: exe.to_vec(), arguments };
        if let Some(image) = self.images.get_mut(image as usize) {
            image.about.get_or_insert(about);
        }
    }

    /// Takes the record of a module.
    pub fn add_module(&mut self, image: u32, name: ModuleName, range: Range) {
        let next = self.modules.len() as u32;
        let module = *self.module_ids.entry(name).or_insert_with_key(|name| {
            self.modules.push(name.clone());
            next
        });
        let image = self.images.get_mut(image as usize);
        if let Some(image) = image.filter(|image| image.ranges.len() < MAX_RANGES) {
            image.ranges.push(Range { module, ..range });
        }
    }

    /// The module that holds `pc` as of `generation`, and its bias. Images made by fork have their parent's too.
    pub fn find_module(&self, mut image: u32, mut generation: u32, pc: u64) -> Option<Range> {
        // A bound, because a hostile capture can have circles.
        for _ in 0..=self.images.len() {
            let found = self.images.get(image as usize)?;
            let holds = |range: &&Range| range.generation <= generation && range.start <= pc && pc < range.end;
            // Of equal generations the last recorded.
            if let Some(range) = found.ranges.iter().filter(holds).max_by_key(|range| range.generation) {
                return Some(*range);
            }
            let about = found.about.as_ref().filter(|about| about.kind == ImageKind::Fork)?;
            generation = generation.min(about.generation);
            image = about.parent?;
        }
        None
    }

    /// The image whose program `image` runs: itself, or for a fork child the one that it came from by forks alone.
    pub fn program_of(&self, image: u32) -> Option<&Image> {
        let mut found = self.images.get(image as usize)?;
        // A bound, because a hostile capture can have circles.
        for _ in 0..self.images.len() {
            let parent =
                found.about.as_ref().filter(|about| about.kind == ImageKind::Fork).and_then(|about| about.parent);
            match parent.and_then(|parent| self.images.get(parent as usize)) {
                Some(parent) => found = parent,
                None => break,
            }
        }
        Some(found)
    }

    /// The nearest ancestor of a process row that has a row itself, as a position.
    pub fn parent_process(&self, image: u32) -> Option<u32> {
        let parent = |image: u32| self.images.get(image as usize)?.about.as_ref()?.parent;
        let mut at = parent(image)?;
        for _ in 0..self.images.len() {
            match self.images.get(at as usize)?.process {
                Some(process) if at != image => return Some(process),
                _ => at = parent(at)?,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{decode, write_image};
    use crate::format::{Deltas, Record};

    /// Each entry: kind, parent's number, generation at start.
    fn census(images: &[(ImageKind, u32, u32)]) -> Census {
        let mut census = Census::default();
        for (number, &(kind, parent, start)) in (1u32..).zip(images) {
            let (image, _) = census.image(number);
            let parent = (parent != 0).then(|| census.image(parent).0);
            let mut bytes = [0; 100];
            write_image(&mut bytes, kind, (number + 100, 0, start), b"exe", [].into_iter()).unwrap();
            let Ok(Some((Record::Image { kind, pid, generation, exe, arguments, .. }, _))) =
                decode(&mut Deltas::default(), &bytes)
            else {
                panic!("no image")
            };
            census.describe(image, parent, (kind, pid, generation), (exe, arguments));
        }
        census
    }

    fn module(census: &mut Census, image: u32, path: &str, (generation, start, end): (u32, u64, u64)) {
        let name = ModuleName { path: path.into(), build_id: Vec::new() };
        census.add_module(image, name, Range { generation, start, end, bias: start, module: 0 });
    }

    fn find(census: &Census, image: u32, generation: u32, pc: u64) -> String {
        let range = census.find_module(image, generation, pc);
        range.map_or("-".into(), |range| String::from_utf8_lossy(&census.modules[range.module as usize].path).into())
    }

    #[test]
    fn a_reused_address_belongs_to_the_newest_module_of_its_time() {
        let mut c = census(&[(ImageKind::First, 0, 0)]);
        module(&mut c, 0, "new", (2, 100, 200));
        module(&mut c, 0, "old", (0, 100, 300));
        let found = [0, 1, 2, 3].map(|generation| find(&c, 0, generation, 150));
        assert_eq!(found, ["old", "old", "new", "new"]);
        assert_eq!([find(&c, 0, 9, 250), find(&c, 0, 9, 300), find(&c, 0, 9, 99)], ["old", "-", "-"]);
    }

    #[test]
    fn forks_inherit_modules_and_execs_do_not() {
        let mut c = census(&[(ImageKind::First, 0, 0), (ImageKind::Fork, 1, 1), (ImageKind::Exec, 2, 0)]);
        module(&mut c, 0, "before", (0, 100, 200));
        module(&mut c, 0, "after", (2, 100, 200));
        module(&mut c, 1, "own", (3, 100, 200));
        assert_eq!([find(&c, 1, 1, 150), find(&c, 1, 2, 150), find(&c, 1, 3, 150)], ["before", "before", "own"]);
        assert_eq!(find(&c, 2, 0, 150), "-");
    }

    #[test]
    fn forks_run_their_parents_program() {
        let kinds = [ImageKind::First, ImageKind::Fork, ImageKind::Fork, ImageKind::Exec, ImageKind::Fork];
        let images: Vec<_> = (0u32..).zip(kinds).map(|(parent, kind)| (kind, parent, 0)).collect();
        let c = census(&images);
        let programs = (0..5).map(|image| c.program_of(image).map(|found| found.number));
        assert_eq!(programs.collect::<Vec<_>>(), [1, 1, 1, 4, 4].map(Some));
        let circle = census(&[(ImageKind::Fork, 2, 0), (ImageKind::Fork, 1, 0)]);
        assert!(circle.program_of(0).is_some());
    }

    #[test]
    fn a_chosen_name_stays() {
        let mut c = census(&[(ImageKind::First, 0, 0)]);
        let thread = Thread { image: 0, tid: 7 };
        let names = |c: &Census| [None, Some(&b"seen"[..])].map(|sampled| c.thread_name(&thread, sampled).to_vec());
        assert_eq!(names(&c), [b"".to_vec(), b"seen".to_vec()]);
        c.name_thread(0, 7, false, b"first");
        assert_eq!(names(&c), [b"first".to_vec(), b"seen".to_vec()]);
        c.name_thread(0, 7, true, b"pool");
        c.name_thread(0, 7, false, b"late");
        assert_eq!(names(&c), [b"pool".to_vec(), b"pool".to_vec()]);
    }

    #[test]
    fn rows_and_their_parents() {
        let mut c = census(&[(ImageKind::First, 0, 0), (ImageKind::Fork, 1, 0), (ImageKind::Exec, 2, 0)]);
        c.admit(0);
        c.admit(2);
        c.admit(2);
        assert_eq!(c.processes, [0, 2]);
        assert_eq!([c.parent_process(0), c.parent_process(2)], [None, Some(0)]);
    }

    #[test]
    fn circles_end() {
        let c = census(&[(ImageKind::Fork, 2, 0), (ImageKind::Fork, 1, 0), (ImageKind::Fork, 3, 0)]);
        assert_eq!(find(&c, 0, 0, 1), "-");
        assert_eq!([c.parent_process(0), c.parent_process(2)], [None, None]);
    }
}
