//! Functions, lines and inlined frames at known addresses, however the program was built.

use crate::toolchain::{
    CLOSURES_CPP, NAMES_C, PLAIN_C, PLAIN_CPP, PLAIN_RS, Program, Workshop, check, check_functions, marks, module_of,
    options,
};

/// Ways to say the same thing in DWARF.
const FORMS: [&[&str]; 12] = [
    &["-g", "-O0"],
    &["-g", "-O2"],
    &["-g3", "-O3"],
    &["-gdwarf-4", "-O2"],
    &["-gdwarf-5", "-O2"],
    &["-gdwarf-4", "-O1", "-fdebug-types-section"],
    &["-g", "-O2", "-fno-pie", "-no-pie"],
    &["-g", "-O2", "-gz=zlib"],
    &["-g", "-O2", "-gz=zlib-gnu"],
    &["-g", "-O2", "-ffunction-sections", "-Wl,--gc-sections"],
    &["-g", "-O2", "-gno-column-info", "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none"],
    &["-g", "-O2", "-flto"],
];

#[track_caller]
fn check_form(program: &Program<'_>, flags: &[&str]) {
    let workshop = Workshop::new();
    let path = workshop.build(program, flags);
    check(program, &marks(&workshop, &path), module_of(&path), options());
}

#[test]
fn c() {
    for flags in FORMS {
        check_form(&PLAIN_C, flags);
    }
}

#[test]
fn cpp() {
    for flags in FORMS {
        check_form(&PLAIN_CPP, flags);
    }
}

#[test]
fn closures() {
    // With link-time optimization the scopes are in another unit, and short names stay.
    for flags in FORMS.iter().filter(|flags| !flags.contains(&"-flto")) {
        check_form(&CLOSURES_CPP, flags);
    }
}

#[test]
fn names_come_back_as_they_are() {
    for flags in [&["-g", "-O0"], &["-g", "-O2"]] {
        check_form(&NAMES_C, flags);
    }
    let workshop = Workshop::new();
    let path = workshop.build(&NAMES_C, &["-O2"]);
    check_functions(&NAMES_C, &marks(&workshop, &path), module_of(&path));
}

#[test]
fn rust() {
    let workshop = Workshop::new();
    std::fs::write(workshop.path("mark.c"), include_str!("programs/mark.c")).expect("the tests' folder is writable");
    workshop.run("gcc", ["-O2", "-fPIC", "-c", "mark.c", "-o", "mark.o"]);
    let build_and_check = |program: &Program<'_>, flags: &[&str]| {
        let flags = [flags, &["-Csymbol-mangling-version=v0", "-Clink-arg=mark.o"]].concat();
        let path = workshop.build(program, &flags);
        check(program, &marks(&workshop, &path), module_of(&path), options());
    };
    for flags in [&["-g"][..], &["-g", "-Copt-level=3"], &["-g", "-Copt-level=3", "-Clto=thin"]] {
        build_and_check(&PLAIN_RS, flags);
    }
    // Here rustc tells no more of inlined functions than their plain names.
    let source = PLAIN_RS.source.replace("plain::deepest", "deepest").replace("plain::deeper", "deeper");
    build_and_check(&Program { source: &source, ..PLAIN_RS }, &["-Cdebuginfo=line-tables-only", "-Copt-level=1"]);
}

#[test]
fn a_shared_library_is_a_module_of_its_own() {
    let workshop = Workshop::new();
    for flags in [["-g", "-gdwarf-4"], ["-g", "-gdwarf-5"]] {
        let library = [&flags[..], &["-O2", "-fPIC", "-shared", "-Dmain=library"]].concat();
        std::fs::rename(workshop.build(&PLAIN_C, &library), workshop.path("libplain.so")).expect("a file just made");
        let host = Program { name: "host.c", source: "int library(void); int main(void) { return library(); }" };
        let host = workshop.build(&host, &["-L.", "-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed", "-lplain"]);
        let source = PLAIN_C.source.replace("main: main", "main: library");
        let program = Program { source: &source, ..PLAIN_C };
        check(&program, &marks(&workshop, &host), module_of(&workshop.path("libplain.so")), options());
    }
}

#[test]
fn without_debug_data_the_symbol_table_names_functions() {
    for program in [&PLAIN_C, &PLAIN_CPP] {
        let workshop = Workshop::new();
        let path = workshop.build(program, &["-O2"]);
        let note = check_functions(program, &marks(&workshop, &path), module_of(&path));
        let expected = format!("{}: no debug data: functions without files and lines", path.display());
        assert_eq!(note.as_deref(), Some(expected.as_str()));
    }
}
