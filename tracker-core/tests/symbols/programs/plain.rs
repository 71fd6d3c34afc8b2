// expect free: plain::free_function @free
// expect nested: plain::outer::inner::nested @nested
// expect method: <plain::Widget>::size @method
// expect trait: <plain::Widget as plain::Shape>::area @trait
// expect generic: plain::largest::<u32> @generic
// expect closure: plain::main::{closure#0} @closure
// expect inlined: plain::deepest @inlined <- plain::deeper @deeper <- plain::deep @deep
// expect drop: <plain::Widget as core::ops::drop::Drop>::drop @drop
#![allow(static_mut_refs)]

extern "C" {
    fn mark(label: *const u8);
}

#[collapse_debuginfo(yes)]
macro_rules! mark {
    ($label:literal) => {
        unsafe {
            mark(concat!($label, "\0").as_ptr());
            std::arch::asm!("")
        }
    };
}

#[inline(never)]
fn free_function() {
    mark!("free"); /*@free*/
}

mod outer {
    pub mod inner {
        #[inline(never)]
        pub fn nested() {
            mark!("nested"); /*@nested*/
        }
        use crate::mark;
    }
}

struct Widget(u32);

impl Widget {
    #[inline(never)]
    fn size(&self) -> u32 {
        mark!("method"); /*@method*/
        self.0
    }
}

trait Shape {
    fn area(&self) -> u32;
}

impl Shape for Widget {
    #[inline(never)]
    fn area(&self) -> u32 {
        mark!("trait"); /*@trait*/
        self.0
    }
}

impl Drop for Widget {
    #[inline(never)]
    fn drop(&mut self) {
        mark!("drop"); /*@drop*/
    }
}

#[inline(never)]
fn largest<T: PartialOrd>(a: T, b: T) -> T {
    mark!("generic"); /*@generic*/
    if a > b { a } else { b }
}

#[inline(always)]
fn deepest() {
    mark!("inlined"); /*@inlined*/
}

#[inline(always)]
fn deeper() {
    deepest(); /*@deeper*/
}

#[inline(never)]
fn deep() {
    deeper(); /*@deep*/
}

fn main() {
    free_function();
    outer::inner::nested();
    let widget = Widget(2);
    let sum = widget.size() + widget.area();
    std::hint::black_box(largest(sum, 3));
    let closure: &dyn Fn() = &|| {
        mark!("closure"); /*@closure*/
    };
    std::hint::black_box(closure)();
    deep();
}
