//! \[unsafe\] The loaded modules, looked up by address without a lock: glibc's `_dl_find_object`, else the loader's list
//! for debuggers while it is consistent.
//!
//! Only addresses found on the calling thread's stack are looked up, so their module cannot be unloaded meanwhile.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicU64, Ordering};

use tracker_core::format::record::ModuleFields;

use crate::{os, program, python, sandbox, session, weak};

/// glibc's `struct dl_find_object`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct DlFindObject {
    flags: u64,
    map_start: usize,
    map_end: usize,
    link_map: *const LinkMap,
    eh_frame: usize,
    reserved: [u64; 7],
}

/// The public part of `struct link_map`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct LinkMap {
    bias: usize,
    name: *const c_char,
    dynamic: usize,
    next: *const LinkMap,
}

/// `struct r_debug`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RDebug {
    version: c_int,
    map: *const LinkMap,
    breakpoint: usize,
    /// 0: the list is consistent.
    state: c_int,
    loader: usize,
}

/// A module that is loaded now.
#[derive(Debug)]
pub(crate) struct Module {
    image: Image,
    /// Extent of its segments.
    start: usize,
    end: usize,
    name: *const c_char,
}

/// A module's unwind tables.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) header: &'static [u8],
    pub(crate) header_address: usize,
    /// End of the segment that holds them.
    end: usize,
}

impl Tables {
    /// The tables' segment from `address` on.
    pub(crate) fn bytes_from(&self, address: usize) -> Option<&'static [u8]> {
        // .eh_frame stands near its search table, in the same segment.
        let len = self.end.checked_sub(address)?;
        // SAFETY: the module maps this range, and the parser follows its tables no farther than they go.
        Some(unsafe { core::slice::from_raw_parts(address as *const u8, len) })
    }
}

/// The module whose mapping contains `address`.
pub(crate) fn find(address: usize) -> Option<Module> {
    match weak::dl_find_object() {
        Some(find) => find_object(find, address),
        None => find_in_list(address),
    }
}

type FindObject = unsafe extern "C" fn(*mut c_void, *mut DlFindObject) -> c_int;

fn find_object(find: FindObject, address: usize) -> Option<Module> {
    // SAFETY: all-zero is a valid value of this plain struct.
    let mut found: DlFindObject = unsafe { core::mem::zeroed() };
    // SAFETY: the function only reads the loader's own tables and fills the struct.
    if unsafe { find(address as *mut c_void, &raw mut found) } != 0 || found.link_map.is_null() {
        return None;
    }
    // SAFETY: the object contains code that is on our stack, so its link map lives. The extent that came with it is not
    // used: of a program loaded at a fixed address it covers the code alone.
    Module::of(unsafe { &*found.link_map })
}

fn find_in_list(address: usize) -> Option<Module> {
    let debug = weak::r_debug()?;
    // SAFETY: the loader updates `state` before and after it changes the list.
    if unsafe { (&raw const debug.state).read_volatile() } != 0 {
        return None;
    }
    let mut next = debug.map;
    while !next.is_null() {
        // SAFETY: the list is consistent, and its nodes live as long as their modules.
        let map = unsafe { &*next };
        if let Some(module) = Module::of(map).filter(|module| (module.start..module.end).contains(&address)) {
            return Some(module);
        }
        next = map.next;
    }
    None
}

/// The program headers of a loaded module.
#[derive(Debug)]
struct Image {
    bias: usize,
    segments: *const libc::Elf64_Phdr,
    count: usize,
}

impl Image {
    /// Those of the program come from the kernel; a library starts with its ELF header.
    fn of(map: &LinkMap, is_program: bool) -> Option<Self> {
        let bias = map.bias;
        if is_program {
            let (segments, count) = program::headers();
            return (segments != 0).then_some(Self { bias, segments: segments as *const libc::Elf64_Phdr, count });
        }
        if bias == 0 || bias & 0xfff != 0 {
            return None;
        }
        // SAFETY: a library is linked for address 0, so its first page, with the ELF header, is at its load address.
        let header = unsafe { &*(bias as *const libc::Elf64_Ehdr) };
        let table = header.e_phoff as usize;
        let count = usize::from(header.e_phnum);
        let fits = table.saturating_add(count * size_of::<libc::Elf64_Phdr>()) <= 4096;
        let is_elf = matches!(header.e_ident, [0x7f, b'E', b'L', b'F', ..]);
        (is_elf && fits && table & 7 == 0).then(|| Self {
            bias,
            segments: (bias + table) as *const libc::Elf64_Phdr,
            count,
        })
    }

    fn headers(&self) -> &[libc::Elf64_Phdr] {
        // SAFETY: the table is part of the loaded module.
        unsafe { core::slice::from_raw_parts(self.segments, self.count) }
    }

    /// Kind, start and end of each segment in memory.
    fn segments(&self) -> impl Iterator<Item = (u32, usize, usize)> {
        self.headers().iter().map(|segment| {
            let start = self.bias.wrapping_add(segment.p_vaddr as usize);
            (segment.p_type, start, start.wrapping_add(segment.p_memsz as usize))
        })
    }

    /// The build-id in the note segments, empty when there is none.
    fn build_id(&self) -> &'static [u8] {
        let notes = self.segments().filter(|&(kind, start, end)| kind == libc::PT_NOTE && end - start <= 4096);
        notes
            .filter_map(|(_, start, end)| {
                // SAFETY: a note segment is part of a loaded segment.
                build_id_in(unsafe { core::slice::from_raw_parts(start as *const u8, end - start) })
            })
            .next()
            .unwrap_or(&[])
    }
}

/// NT_GNU_BUILD_ID among notes: name size, description size, type, "GNU\0", description; each padded to 4.
fn build_id_in(notes: &'static [u8]) -> Option<&'static [u8]> {
    let mut reader = tracker_core::format::wire::Reader::new(notes);
    loop {
        let (name, description, kind) = (reader.u32()? as usize, reader.u32()? as usize, reader.u32()?);
        let name = reader.bytes(name.next_multiple_of(4))?;
        let text = reader.bytes(description.next_multiple_of(4))?;
        if kind == 3 && name == b"GNU\0" {
            return text.get(..description);
        }
    }
}

/// Modules already announced by this process (or, after a fork, by its parent): page number and generation.
static ANNOUNCED: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];

/// True for the one caller that has to announce the module at `start` in `generation`.
fn first_sight(start: usize, generation: u32) -> bool {
    // 35 bits of page number, 27 of generation, and a one so that no key is zero.
    let key = (start as u64 >> 12) << 28 | u64::from(generation & 0x7ff_ffff) << 1 | 1;
    let mut slot = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52) as usize;
    for _ in 0..ANNOUNCED.len() {
        let Some(entry) = ANNOUNCED.get(slot) else { return true };
        match entry.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(seen) if seen == key => return false,
            Err(_) => slot = (slot + 1) % ANNOUNCED.len(),
        }
    }
    // Thousands of modules unloaded: telling one twice does no harm.
    true
}

/// A new generation announces everything it meets: what is known of former ones only takes room.
pub(crate) fn announce_anew() {
    ANNOUNCED.iter().for_each(|entry| entry.store(0, Ordering::Relaxed));
}

impl Module {
    fn of(map: &LinkMap) -> Option<Self> {
        // SAFETY: the loader keeps the name, a C string, as long as the module; the program's is empty.
        let is_program = map.name.is_null() || unsafe { *map.name } == 0;
        let image = Image::of(map, is_program)?;
        let loaded = image.segments().filter(|&(kind, ..)| kind == libc::PT_LOAD);
        let (start, end) = loaded.fold((usize::MAX, 0), |(low, high), (_, start, end)| (low.min(start), high.max(end)));
        Some(Self { image, start: start & !0xfff, end, name: map.name })
    }

    /// Unwind tables, if the module has them.
    pub(crate) fn tables(&self) -> Option<Tables> {
        let (_, start, _) = self.image.segments().find(|&(kind, ..)| kind == libc::PT_GNU_EH_FRAME)?;
        let holds = |&(kind, low, high): &(u32, usize, usize)| kind == libc::PT_LOAD && (low..high).contains(&start);
        let (.., end) = self.image.segments().find(holds)?;
        // SAFETY: the header is mapped with its segment; the parser stays inside the table the header describes.
        let header = unsafe { core::slice::from_raw_parts(start as *const u8, end - start) };
        Some(Tables { header, header_address: start, end })
    }

    /// Start and end of its dynamic section.
    pub(crate) fn dynamic(&self) -> Option<(usize, usize)> {
        let (_, start, end) = self.image.segments().find(|&(kind, ..)| kind == libc::PT_DYNAMIC)?;
        Some((start, end))
    }

    /// What is added to linked addresses.
    pub(crate) fn bias(&self) -> usize {
        self.image.bias
    }

    /// Whether one of its segments is at `address`.
    pub(crate) fn maps(&self, address: usize) -> bool {
        let mut loaded = self.image.segments().filter(|&(kind, ..)| kind == libc::PT_LOAD);
        loaded.any(|(_, start, end)| (start..end).contains(&address))
    }

    /// Whether the program may write at `address` for good: not where the loader protects what it has relocated.
    pub(crate) fn is_writable(&self, address: usize) -> bool {
        let holds = |wanted: u32| {
            let mut found = self.image.headers().iter().filter(|header| header.p_type == wanted);
            found.any(|header| {
                let start = self.image.bias.wrapping_add(header.p_vaddr as usize);
                let writable = wanted != libc::PT_LOAD || header.p_flags & libc::PF_W != 0;
                writable && (start..start.wrapping_add(header.p_memsz as usize)).contains(&address)
            })
        };
        holds(libc::PT_LOAD) && !holds(libc::PT_GNU_RELRO)
    }

    /// Addresses of the module.
    pub(crate) fn range(&self) -> (usize, usize) {
        (self.start, self.end)
    }

    /// Path as the loader has it; the program's own for the program.
    pub(crate) fn path(&self) -> &'static [u8] {
        // SAFETY: the loader keeps the name, a C string, as long as the module.
        let name = if self.name.is_null() { &[] } else { unsafe { CStr::from_ptr(self.name) }.to_bytes() };
        if name.is_empty() { session::executable() } else { name }
    }

    /// Tells `sink` of the module if nobody was told before.
    pub(crate) fn announce(&self, sink: &mut dyn FnMut(&ModuleFields<'_>)) {
        let generation = program::generation();
        if !first_sight(self.start, generation) {
            return;
        }
        python::meet(self);
        let build_id = self.image.build_id();
        let path = self.path();
        let (start, end, bias) = (self.start as u64, self.end as u64, self.image.bias as u64);
        let fields = ModuleFields { generation, start, end, bias, build_id, path };
        if path.first() == Some(&b'/') || sandbox::is_active() {
            sink(&fields)
        } else {
            announce_relative(path, fields, sink)
        }
    }
}

/// A name relative to the working folder is made absolute while the folder is still the same, unless a sandbox may punish
/// the question for it.
#[cold]
#[inline(never)]
fn announce_relative(name: &[u8], fields: ModuleFields<'_>, sink: &mut dyn FnMut(&ModuleFields<'_>)) {
    let mut path = [0u8; 512];
    let folder = os::working_folder(&mut path).len();
    // Without a slash it is the kernel's own (linux-vdso.so.1), or was found in the working folder under no name.
    let room = if name.contains(&b'/') { path.get_mut(folder..folder + 1 + name.len()) } else { None };
    let Some(room) = room else { return sink(&fields) };
    for (to, from) in room.iter_mut().zip(core::iter::once(&b'/').chain(name)) {
        *to = *from;
    }
    let path = path.get(..folder + 1 + name.len()).unwrap_or(name);
    sink(&ModuleFields { path, ..fields });
}
