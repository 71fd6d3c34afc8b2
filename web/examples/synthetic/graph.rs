//! Stacks from a grammar of who calls whom.

use std::collections::HashMap;

use tracker_core::format::Function;
use tracker_core::report::profile::{Frame, FrameId, FrameKind, Metrics, Row, Stack, StackId};

use super::Random;

/// A function and what it calls; `~` in front of a name marks an inlined function, `py:` a Python one.
pub(crate) type Caller = (&'static str, &'static str, &'static [&'static str]);

const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";
const CXX: &str = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6";
const PYTHON: &str = "/usr/lib/x86_64-linux-gnu/libpython3.13.so.1.0";

/// Function, `module file`, callees. The first entry is the root; a name without an entry is a leaf.
pub(crate) const ENCODER: &[Caller] = &[
    ("clone3", "libc", &["start_thread"]),
    (
        "start_thread",
        "libc",
        &[
            "~std::thread::_State_impl<std::thread::_Invoker<std::tuple<void (tilery::WorkerPool::*)(), tilery::WorkerPool*>>>::_M_run()",
        ],
    ),
    (
        "std::thread::_State_impl<std::thread::_Invoker<std::tuple<void (tilery::WorkerPool::*)(), tilery::WorkerPool*>>>::_M_run()",
        "exe std_thread.h",
        &["tilery::WorkerPool::loop()"],
    ),
    (
        "tilery::WorkerPool::loop()",
        "exe encoder/pool.cc",
        &["tilery::TileJob::execute()", "tilery::TileJob::execute()", "tilery::metrics::Histogram::record(double)"],
    ),
    (
        "tilery::TileJob::execute()",
        "exe encoder/job.cc",
        &[
            "tilery::Renderer::render(tilery::Tile const&)",
            "tilery::Renderer::render(tilery::Tile const&)",
            "tilery::Renderer::render(tilery::Tile const&)",
            "tilery::TileJob::encode()",
        ],
    ),
    ("tilery::TileJob::encode()", "exe encoder/job.cc", &["WebPEncode", "operator new(unsigned long)"]),
    (
        "tilery::Renderer::render(tilery::Tile const&)",
        "exe encoder/render.cc",
        &[
            "tilery::LayerStack::compose(tilery::TileKey const&)",
            "tilery::LayerStack::compose(tilery::TileKey const&)",
            "tilery::mvt::decode(tilery::Buffer const&)",
            "tilery::geom::simplify(tilery::Ring const&, double)",
            "tilery::Canvas::Canvas(int, int)",
        ],
    ),
    (
        "tilery::LayerStack::compose(tilery::TileKey const&)",
        "exe encoder/layers.cc",
        &[
            "tilery::RasterLayer::fetch(tilery::TileKey const&)",
            "tilery::RasterLayer::fetch(tilery::TileKey const&)",
            "tilery::LayerStack::compose(tilery::TileKey const&)",
        ],
    ),
    (
        "tilery::RasterLayer::fetch(tilery::TileKey const&)",
        "exe encoder/layers.cc",
        &["tilery::RasterCache::insert_or_get(tilery::TileKey const&)"],
    ),
    (
        "tilery::RasterCache::insert_or_get(tilery::TileKey const&)",
        "exe encoder/cache.cc",
        &[
            "~std::unordered_map<tilery::TileKey, std::shared_ptr<tilery::Raster>, tilery::TileKeyHash>::try_emplace(tilery::TileKey const&)",
            "tilery::Raster::decode_png(std::span<unsigned char const>)",
            "operator new(unsigned long)",
        ],
    ),
    (
        "std::unordered_map<tilery::TileKey, std::shared_ptr<tilery::Raster>, tilery::TileKeyHash>::try_emplace(tilery::TileKey const&)",
        "exe unordered_map.h",
        &[
            "tilery::Raster::Raster(tilery::Size, tilery::Format)",
            "~std::_Hashtable<tilery::TileKey, std::pair<tilery::TileKey const, std::shared_ptr<tilery::Raster>>>::_M_rehash(unsigned long)",
        ],
    ),
    (
        "std::_Hashtable<tilery::TileKey, std::pair<tilery::TileKey const, std::shared_ptr<tilery::Raster>>>::_M_rehash(unsigned long)",
        "exe hashtable.h",
        &["operator new(unsigned long)"],
    ),
    (
        "tilery::Raster::Raster(tilery::Size, tilery::Format)",
        "exe encoder/raster.cc",
        &[
            "~std::vector<unsigned char, std::allocator<unsigned char>>::_M_default_append(unsigned long)",
            "tilery::MipChain::build(unsigned char const*)",
        ],
    ),
    (
        "std::vector<unsigned char, std::allocator<unsigned char>>::_M_default_append(unsigned long)",
        "exe vector.tcc",
        &["operator new(unsigned long)"],
    ),
    ("tilery::MipChain::build(unsigned char const*)", "exe encoder/mip.cc", &["operator new(unsigned long)"]),
    ("tilery::Raster::decode_png(std::span<unsigned char const>)", "exe encoder/raster.cc", &["png_read_image"]),
    ("png_read_image", "/usr/lib/x86_64-linux-gnu/libpng16.so.16 ", &["png_malloc", "inflateInit2_"]),
    ("inflateInit2_", "/usr/lib/x86_64-linux-gnu/libz.so.1 ", &[]),
    ("png_malloc", "/usr/lib/x86_64-linux-gnu/libpng16.so.16 ", &[]),
    ("WebPEncode", "/usr/lib/x86_64-linux-gnu/libwebp.so.7 ", &["VP8EncAnalyze", "WebPSafeMalloc", "?"]),
    (
        "tilery::mvt::decode(tilery::Buffer const&)",
        "exe encoder/mvt.cc",
        &["google::protobuf::MessageLite::ParseFromArray(void const*, int)"],
    ),
    (
        "google::protobuf::MessageLite::ParseFromArray(void const*, int)",
        "/usr/lib/x86_64-linux-gnu/libprotobuf.so.32 ",
        &["vector_tile::Tile::_InternalParse(char const*, google::protobuf::internal::ParseContext*)"],
    ),
    (
        "vector_tile::Tile::_InternalParse(char const*, google::protobuf::internal::ParseContext*)",
        "exe vector_tile.pb.cc",
        &["vector_tile::Tile_Layer::_InternalParse(char const*, google::protobuf::internal::ParseContext*)"],
    ),
    (
        "vector_tile::Tile_Layer::_InternalParse(char const*, google::protobuf::internal::ParseContext*)",
        "exe vector_tile.pb.cc",
        &[
            "~google::protobuf::RepeatedField<unsigned int>::Reserve(int)",
            "google::protobuf::Arena::AllocateAligned(unsigned long)",
        ],
    ),
    (
        "google::protobuf::RepeatedField<unsigned int>::Reserve(int)",
        "exe repeated_field.h",
        &["google::protobuf::Arena::AllocateAligned(unsigned long)"],
    ),
    (
        "tilery::geom::simplify(tilery::Ring const&, double)",
        "exe encoder/geom.cc",
        &[
            "~std::vector<tilery::Point>::_M_realloc_insert<tilery::Point const&>(tilery::Point const&)",
            "geos::geom::CoordinateSequence::clone() const",
        ],
    ),
    (
        "std::vector<tilery::Point>::_M_realloc_insert<tilery::Point const&>(tilery::Point const&)",
        "exe vector.tcc",
        &["operator new(unsigned long)"],
    ),
    ("tilery::Canvas::Canvas(int, int)", "exe encoder/canvas.cc", &["cairo_image_surface_create"]),
    ("operator new(unsigned long)", "libstdc++", &[]),
];

pub(crate) const WORKER: &[Caller] = &[
    ("_start", "/usr/bin/python3 ", &["__libc_start_main"]),
    ("__libc_start_main", "libc", &["Py_BytesMain"]),
    ("Py_BytesMain", "python", &["py:<module>", "py:<module>", "py:<module>", "pymain_run_startup"]),
    ("<module>", "/srv/tilery/__main__.py", &["py:run_worker"]),
    ("run_worker", "/srv/tilery/worker.py", &["py:Runner.run"]),
    ("Runner.run", "/usr/lib/python3.13/asyncio/runners.py", &["py:run_forever"]),
    ("run_forever", "/usr/lib/python3.13/asyncio/base_events.py", &["py:_run_once"]),
    ("_run_once", "/usr/lib/python3.13/asyncio/base_events.py", &["py:Worker.loop"]),
    ("Worker.loop", "/srv/tilery/worker.py", &["py:Worker.handle"]),
    (
        "Worker.handle",
        "/srv/tilery/worker.py",
        &["py:load_features", "py:load_features", "py:tile_to_array", "py:build_index"],
    ),
    ("load_features", "/srv/tilery/features.py", &["py:parse_tags", "py:parse_tags", "py:Feature.__init__"]),
    ("parse_tags", "/srv/tilery/features.py", &["py:json.loads", "py:intern_keys"]),
    ("json.loads", "/usr/lib/python3.13/json/__init__.py", &["_parse_object_unicode"]),
    (
        "_parse_object_unicode",
        "/usr/lib/python3.13/lib-dynload/_json.so ",
        &["PyDict_SetItem", "PyUnicode_New", "_parse_object_unicode"],
    ),
    ("PyDict_SetItem", "python", &["_PyObject_Malloc"]),
    ("PyUnicode_New", "python", &["_PyObject_Malloc"]),
    ("intern_keys", "/srv/tilery/features.py", &["PyUnicode_New"]),
    ("Feature.__init__", "/srv/tilery/features.py", &["PyDict_SetItem", "_PyObject_Malloc"]),
    ("tile_to_array", "/srv/tilery/arrays.py", &["PyArray_NewFromDescr_int"]),
    ("PyArray_NewFromDescr_int", "/usr/lib/python3/dist-packages/numpy/_multiarray_umath.so ", &["_npy_alloc_cache"]),
    (
        "build_index",
        "/srv/tilery/index.py",
        &["SpatialIndex::RTree::RTree::insertData(unsigned int, unsigned char const*)"],
    ),
    (
        "SpatialIndex::RTree::RTree::insertData(unsigned int, unsigned char const*)",
        "/usr/lib/x86_64-linux-gnu/libspatialindex.so.6 ",
        &["operator new(unsigned long)", "SpatialIndex::RTree::RTree::insertData(unsigned int, unsigned char const*)"],
    ),
    ("pymain_run_startup", "python", &["py:_find_and_load"]),
    ("_find_and_load", "<frozen importlib._bootstrap>", &["py:exec_module", "py:_find_and_load"]),
    ("exec_module", "<frozen importlib._bootstrap_external>", &["marshal_loads", "py:_find_and_load"]),
    ("marshal_loads", "python", &["_PyObject_Malloc"]),
    ("_PyObject_Malloc", "python", &[]),
    ("operator new(unsigned long)", "libstdc++", &[]),
];

pub(crate) const SERVER: &[Caller] = &[
    ("_start", "/usr/bin/python3 ", &["__libc_start_main"]),
    ("__libc_start_main", "libc", &["Py_BytesMain"]),
    ("Py_BytesMain", "python", &["py:<module>", "py:<module>", "pymain_run_startup"]),
    ("<module>", "/srv/tilery/__main__.py", &["py:serve"]),
    ("serve", "/srv/tilery/serve.py", &["py:Server.run"]),
    (
        "Server.run",
        "/srv/tilery/serve.py",
        &["py:TileStore.get", "py:Response.write", "orjson::serialize::serializer::serialize"],
    ),
    ("TileStore.get", "/srv/tilery/store.py", &["sqlite3_step"]),
    ("sqlite3_step", "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0 ", &["sqlite3VdbeExec"]),
    ("sqlite3VdbeExec", "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0 ", &["pcache1Alloc", "sqlite3BtreeCursor"]),
    (
        "orjson::serialize::serializer::serialize",
        "/usr/lib/python3/dist-packages/orjson.so src/serialize/serializer.rs",
        &["~<alloc::raw_vec::RawVec<T,A> as core::ops::drop::Drop>::grow_amortized"],
    ),
    (
        "<alloc::raw_vec::RawVec<T,A> as core::ops::drop::Drop>::grow_amortized",
        "/usr/lib/python3/dist-packages/orjson.so library/alloc/src/raw_vec.rs",
        &["__rust_realloc"],
    ),
    ("Response.write", "/srv/tilery/http.py", &["_PyObject_Malloc"]),
    ("pymain_run_startup", "python", &["py:_find_and_load"]),
    ("_find_and_load", "<frozen importlib._bootstrap>", &["py:exec_module", "py:_find_and_load"]),
    ("exec_module", "<frozen importlib._bootstrap_external>", &["marshal_loads", "py:_find_and_load"]),
    ("marshal_loads", "python", &["_PyObject_Malloc"]),
    ("_PyObject_Malloc", "python", &[]),
];

/// Calls itself through many ways, so that almost every stack is a new one.
pub(crate) const POLYSTACK: &[Caller] = &[
    ("_start", "exe ", &["main"]),
    ("main", "exe polystack.c", &["walk_a", "walk_b", "walk_c"]),
    ("walk_a", "exe polystack.c", &["walk_a", "walk_b", "walk_c", "walk_d", "walk_e", "walk_f", "walk_b", "leaf_node"]),
    ("walk_b", "exe polystack.c", &["walk_a", "walk_c", "walk_e", "walk_d", "walk_a", "walk_c", "leaf_node"]),
    ("walk_c", "exe polystack.c", &["walk_b", "walk_d", "walk_e", "walk_f", "walk_a", "walk_b", "leaf_string"]),
    ("walk_d", "exe polystack.c", &["walk_a", "walk_e", "walk_f", "walk_b", "walk_a", "walk_c", "leaf_string"]),
    ("walk_e", "exe polystack.c", &["walk_b", "walk_c", "walk_f", "walk_d", "walk_a", "walk_f", "leaf_node"]),
    ("walk_f", "exe polystack.c", &["walk_a", "walk_d", "walk_b", "walk_c", "walk_e", "walk_a", "leaf_buffer"]),
    ("leaf_node", "exe polystack.c", &["xmalloc"]),
    ("leaf_string", "exe polystack.c", &["strdup", "xmalloc"]),
    ("leaf_buffer", "exe polystack.c", &["xmalloc"]),
    ("strdup", "libc", &[]),
];

/// Whose rows are made.
pub(crate) struct Numbers {
    pub(crate) process: u32,
    pub(crate) first_thread: u32,
    pub(crate) threads: u32,
    pub(crate) start: u64,
    pub(crate) run: u64,
    pub(crate) peak_bytes: u64,
}

/// All frames and stacks of a profile while it is made.
#[derive(Default)]
pub(crate) struct Stacks {
    pub(crate) frames: Vec<Frame>,
    pub(crate) stacks: Vec<Stack>,
    pub(crate) modules: Vec<String>,
    known_frames: HashMap<Frame, FrameId>,
    known_stacks: HashMap<Vec<FrameId>, StackId>,
}

impl Stacks {
    pub(crate) fn rows(
        &mut self,
        grammar: &[Caller],
        exe: &str,
        count: usize,
        numbers: &Numbers,
        random: &mut Random,
    ) -> Vec<Row> {
        let mut rows: HashMap<(StackId, u32), Row> = HashMap::new();
        for _ in 0..count {
            let (stack, new) = self.walk(grammar, exe, random);
            let thread = numbers.first_thread + random.below(numbers.threads as usize) as u32;
            let weight = if new { random.unit().powi(9) } else { random.unit().powi(5) };
            let allocations = 1 + (random.unit().powi(4) * 20_000.0) as u64;
            let temporary = if random.below(3) > 0 { (allocations as f64 * random.unit()) as u64 } else { 0 };
            let peak_blocks = if random.below(3) > 0 { 1 + allocations / 40 } else { 0 };
            let leaks = random.below(40) == 0;
            let length = numbers.run - numbers.start;
            let first_ns = numbers.start + (random.unit().powi(3) * length as f64 * 0.7) as u64;
            let row = rows.entry((stack, thread)).or_insert_with(|| Row {
                stack,
                process: numbers.process,
                thread,
                metrics: Metrics::default(),
                largest_bytes: 0,
                first_ns,
                last_ns: first_ns + (random.unit().powi(2) * (numbers.run - first_ns) as f64) as u64,
            });
            let metrics = &mut row.metrics;
            metrics.allocations += allocations;
            metrics.allocated_bytes += allocations * 48 + (weight * 4e7) as u64;
            metrics.temporary_allocations += temporary;
            metrics.temporary_bytes += temporary * 32;
            metrics.peak_blocks += peak_blocks;
            metrics.peak_bytes += if peak_blocks > 0 { peak_blocks * 40 + (weight * 3e7) as u64 } else { 0 };
            if leaks && peak_blocks > 0 {
                metrics.leaked_blocks += peak_blocks / 3 + 1;
                metrics.leaked_bytes += metrics.peak_bytes / 20 + 24;
            }
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_by_key(|row| (row.stack, row.thread));
        scale(&mut rows, numbers.peak_bytes);
        rows
    }

    /// One way from the root to a leaf.
    fn walk(&mut self, grammar: &[Caller], exe: &str, random: &mut Random) -> (StackId, bool) {
        let mut name = grammar.first().map_or("", |entry| entry.0);
        let mut path = Vec::new();
        for _ in 0..48 {
            let bare = name.trim_start_matches('~').trim_start_matches("py:");
            let entry = grammar.iter().find(|entry| entry.0 == bare);
            let next = entry.map_or(&[][..], |entry| entry.2);
            let call = random.below(next.len());
            path.push(self.frame(name, entry.map_or("", |entry| entry.1), exe, call as u32));
            match next.get(call) {
                Some(callee) => name = callee,
                None => break,
            }
        }
        path.reverse();
        let next = StackId(self.stacks.len() as u32);
        let stack = *self.known_stacks.entry(path.clone()).or_insert(next);
        if stack == next {
            self.stacks.push(Stack { frames: path, function: Some(Function::Malloc) });
        }
        (stack, stack == next)
    }

    fn frame(&mut self, name: &str, place: &str, exe: &str, call: u32) -> FrameId {
        let kind = match name {
            _ if name.starts_with("py:") => FrameKind::Python,
            _ if name.starts_with('~') => FrameKind::Inlined,
            _ => FrameKind::Native,
        };
        let function = name.trim_start_matches('~').trim_start_matches("py:");
        let (module, file) = match place.split_once(' ') {
            Some(("exe", file)) => (exe, file),
            Some((module, file)) => (module, file),
            None => match place {
                "libc" => (LIBC, ""),
                "libstdc++" => (CXX, ""),
                "python" => (PYTHON, ""),
                "" => (exe, ""),
                file => ("", file),
            },
        };
        let module = (!module.is_empty()).then(|| self.module(module));
        let line = (!file.is_empty()).then(|| 10 + function.len() as u32 * 3 + call * 7);
        let frame = Frame {
            function: (function != "?").then(|| function.to_owned()),
            file: (!file.is_empty()).then(|| file.to_owned()),
            line,
            module,
            address: 0x1000 + function.len() as u64 * 64 + u64::from(call) * 4,
            kind,
        };
        let next = FrameId(self.frames.len() as u32);
        let id = *self.known_frames.entry(frame.clone()).or_insert(next);
        if id == next {
            self.frames.push(frame);
        }
        id
    }

    fn module(&mut self, path: &str) -> u32 {
        let position = self.modules.iter().position(|known| known == path).unwrap_or_else(|| {
            self.modules.push(path.to_owned());
            self.modules.len() - 1
        });
        position as u32
    }
}

/// Makes the rows' peak add up to exactly `peak`, and keeps leaks within it.
fn scale(rows: &mut [Row], peak: u64) {
    let sum: u64 = rows.iter().map(|row| row.metrics.peak_bytes).sum();
    let factor = peak as f64 / sum.max(1) as f64;
    let mut left = peak;
    for row in rows.iter_mut() {
        let metrics = &mut row.metrics;
        metrics.peak_bytes = ((metrics.peak_bytes as f64 * factor) as u64).min(left);
        metrics.leaked_bytes = (metrics.leaked_bytes as f64 * factor) as u64;
        metrics.allocated_bytes += metrics.peak_bytes;
        left -= metrics.peak_bytes;
    }
    if let Some(row) = rows.iter_mut().find(|row| row.metrics.peak_blocks > 0) {
        row.metrics.peak_bytes += left;
    }
    for row in rows {
        row.metrics.process_peak_blocks = row.metrics.peak_blocks;
        row.metrics.process_peak_bytes = row.metrics.peak_bytes;
    }
}
