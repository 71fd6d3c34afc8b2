//! The capture over time, in one pass and bounded memory: intervals double in width whenever there are too many.

use super::heap::Amount;

/// Most intervals there ever are.
const MAX_POINTS: u64 = 2048;
/// Width of the first intervals in nanoseconds.
const FIRST_WIDTH: u64 = 1000;

/// One interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Point {
    /// Its number; it starts at this times the width.
    pub number: u64,
    /// Most bytes live in it.
    pub high: u64,
    /// Bytes live at its end.
    pub live: u64,
    /// Allocations in it.
    pub allocated: Amount,
}

/// Collects intervals. Times may stand still, but the caller never lets them go back.
#[derive(Debug)]
pub struct Timeline {
    width: u64,
    current: u64,
    /// Closed intervals in which something happened, ascending.
    points: Vec<Point>,
    /// Per image: interval and bytes live at its end, where that changed.
    images: Vec<Vec<(u64, u64)>>,
    /// Allocations until the end of the last closed interval.
    counted: Amount,
}

/// The finished intervals, none left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dense {
    /// Nanoseconds per interval.
    pub width: u64,
    pub points: Vec<Point>,
    /// Per image, bytes live at the end of each interval.
    pub images: Vec<Vec<u64>>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { width: FIRST_WIDTH, current: 0, points: Vec::new(), images: Vec::new(), counted: Amount::default() }
    }
}

impl Timeline {
    /// Time from which on [`Self::close`] has to be called before anything else is counted.
    pub fn next_close(&self) -> u64 {
        (self.current + 1).saturating_mul(self.width)
    }

    /// Ends the current interval and goes on to the one that `now` is in. `high`, `live`: bytes of the tree;
    /// `allocated`: since the start; `images`: bytes live in each image that may have changed.
    pub fn close(
        &mut self,
        now: u64,
        (high, live, allocated): (u64, u64, Amount),
        images: impl Iterator<Item = (usize, u64)>,
    ) {
        let number = self.current;
        let inside = Amount {
            blocks: allocated.blocks.saturating_sub(self.counted.blocks),
            bytes: allocated.bytes.saturating_sub(self.counted.bytes),
        };
        self.counted = allocated;
        merge(&mut self.points, Point { number, high, live, allocated: inside });
        for (image, live) in images {
            if self.images.len() <= image {
                self.images.resize(image + 1, Vec::new());
            }
            if let Some(changes) = self.images.get_mut(image) {
                set(changes, number, live);
            }
        }
        self.current = now / self.width;
        while self.current >= MAX_POINTS {
            self.halve();
        }
    }

    /// Doubles the width.
    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        self.current /= 2;
        for point in std::mem::take(&mut self.points) {
            merge(&mut self.points, Point { number: point.number / 2, ..point });
        }
        for changes in &mut self.images {
            for (number, live) in std::mem::take(changes) {
                set(changes, number / 2, live);
            }
        }
    }

    /// All intervals up to `end`, at most as many as keep intervals times images below `budget`, but not too few.
    pub fn finish(mut self, end: u64, images: usize, budget: u64) -> Dense {
        self.images.resize(images, Vec::new());
        let last = |this: &Self| (end.saturating_sub(1) / this.width).max(this.points.last().map_or(0, |p| p.number));
        while last(&self) >= MAX_POINTS || (last(&self) > 256 && last(&self).saturating_mul(images as u64) > budget) {
            self.halve();
        }
        let count = last(&self) + 1;
        let mut dense = Dense { width: self.width, ..Dense::default() };
        let mut sparse = self.points.into_iter().peekable();
        let mut live = 0;
        for number in 0..count {
            let idle = Point { number, high: live, live, allocated: Amount::default() };
            let point = sparse.next_if(|point| point.number == number).unwrap_or(idle);
            live = point.live;
            dense.points.push(point);
        }
        dense.images.extend(self.images.into_iter().map(|changes| {
            let mut changes = changes.into_iter().peekable();
            let mut live = 0;
            let step = |number| {
                live = changes.next_if(|change| change.0 == number).map_or(live, |change| change.1);
                live
            };
            (0..count).map(step).collect()
        }));
        dense
    }
}

fn merge(points: &mut Vec<Point>, point: Point) {
    match points.last_mut().filter(|last| last.number >= point.number) {
        Some(last) => {
            last.high = last.high.max(point.high);
            last.live = point.live;
            last.allocated.join(point.allocated);
        }
        None => points.push(point),
    }
}

fn set(changes: &mut Vec<(u64, u64)>, number: u64, live: u64) {
    match changes.last_mut() {
        Some(last) if last.0 >= number => last.1 = live,
        Some(last) if last.1 == live => {}
        _ => changes.push((number, live)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (time, bytes allocated then and kept) and answers width and `high/live/allocations` of each interval.
    fn run(steps: &[(u64, u64)], end: u64, budget: u64) -> (u64, Vec<String>, Vec<u64>) {
        let mut timeline = Timeline::default();
        let mut total = Amount::default();
        for &(time, size) in steps {
            if time >= timeline.next_close() {
                timeline.close(time, (total.bytes, total.bytes, total), [(1, total.bytes)].into_iter());
            }
            total.join(Amount { blocks: 1, bytes: size });
        }
        timeline.close(end, (total.bytes, total.bytes, total), [(1, total.bytes)].into_iter());
        let dense = timeline.finish(end, 2, budget);
        assert_eq!(dense.images[0], vec![0; dense.points.len()]);
        let text = |p: &Point| format!("{}/{}/{}", p.high, p.live, p.allocated.blocks);
        (dense.width, dense.points.iter().map(text).collect(), dense.images[1].clone())
    }

    #[test]
    fn idle_intervals_repeat_the_level() {
        let (width, points, image) = run(&[(0, 5), (10, 5), (3500, 1)], 4000, 1 << 20);
        assert_eq!((width, points.join(" ").as_str()), (1000, "10/10/2 10/10/0 10/10/0 11/11/1"));
        assert_eq!(image, [10, 10, 10, 11]);
    }

    #[test]
    fn long_captures_stay_bounded_and_lose_no_allocation() {
        let steps: Vec<_> = (0..100_000u64).map(|n| (n * 1_000_000, 1)).collect();
        let (width, points, image) = run(&steps, 100_000 * 1_000_000, 1 << 20);
        assert_eq!(width, 65_536_000);
        assert_eq!(points.len(), 1526);
        let counted: u64 = points.iter().filter_map(|point| point.rsplit('/').next()?.parse::<u64>().ok()).sum();
        assert_eq!(counted, 100_000);
        assert_eq!(image.last(), Some(&100_000));
        assert!(run(&steps, 100_000 * 1_000_000, 800).1.len() <= 400);
    }

    #[test]
    fn hostile_times() {
        let (_, points, _) = run(&[(u64::MAX, 1), (u64::MAX, 1)], u64::MAX, 1 << 20);
        assert!(points.len() <= MAX_POINTS as usize);
        assert_eq!(run(&[(5, 1)], 0, 1 << 20).1, ["1/1/1"]);
    }
}
