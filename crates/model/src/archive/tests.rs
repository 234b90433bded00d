use std::io::Write as _;

use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 1 << 20;

fn directory(files: &[(&str, &[u8])]) -> Directory {
    let files = files
        .iter()
        .map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()));
    Directory::new(files.collect())
}

fn model() -> Directory {
    directory(&[
        ("saved_model.pb", b"graph"),
        ("variables/variables.data-00000-of-00001", &[7; 3000]),
        ("variables/variables.index", b""),
    ])
}

/// An archive of entries as no well-behaved program writes them.
#[derive(Default)]
struct Forged(Vec<u8>);

impl Forged {
    fn entry(&mut self, path: &str, kind: EntryType, announced: u64, bytes: &[u8]) -> &mut Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(announced);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        self.entry(path, EntryType::Regular, bytes.len() as u64, bytes)
    }

    fn unpack(&self) -> Result<Directory, ArchiveError> {
        let mut bytes = self.0.clone();
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        unpack(&bytes, LIMIT)
    }

    fn refusal(&self) -> String {
        self.unpack().unwrap_err().to_string()
    }
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_packed_is_unpacked_compressed_or_not() {
    let packed = pack(&model()).unwrap();
    assert_eq!(pack(&model()).unwrap(), packed, "always the same bytes");
    // Several members and frames are one stream (RFC 1952, 2.2; RFC 8878, 3.1).
    let (begin, end) = packed.split_at(700);
    let parts = |compress: fn(&[u8]) -> Vec<u8>| [compress(begin), compress(end)].concat();
    for bytes in [
        packed.to_vec(),
        zstd(&packed),
        gzip(&packed),
        parts(zstd),
        parts(gzip),
    ] {
        assert!(is_archive(&bytes));
        assert_eq!(unpack(&bytes, LIMIT).unwrap(), model());
    }
}

#[test]
fn other_files_are_no_archives() {
    let pb = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../data/models/wine/1/saved_model.pb"
    ));
    assert!(!is_archive(&pb.unwrap()));
    assert!(!is_archive(b""));
    assert!(!is_archive(&[b'x'; 4096]));
}

#[test]
fn an_entry_that_is_no_file_of_the_directory_is_refused_by_name() {
    for (path, reason) in [
        ("/etc/passwd", "absolute"),
        ("../evil", "leads out"),
        ("variables/../../evil", "leads out"),
        ("a/..", "leads out"),
        ("C:/evil", "drive letter"),
        ("c:evil", "drive letter"),
        ("a\\..\\..\\evil", "a character"),
        ("a\nb", "a character"),
        ("./", "needs a name"),
    ] {
        let refusal = Forged::default().file(path, b"x").refusal();
        assert!(
            refusal.contains(reason) && refusal.contains(&format!("`{path}`")),
            "{path}: {refusal}"
        );
    }
    for (kind, reason) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "FIFO"),
        (EntryType::Continuous, "neither"),
        (EntryType::GNUSparse, ""),
    ] {
        let refusal = Forged::default().entry("odd", kind, 0, b"").refusal();
        assert!(
            refusal.contains(reason) && (reason.is_empty() || refusal.contains("`odd`")),
            "{kind:?}: {refusal}"
        );
    }
    let twice = Forged::default()
        .file("a/b", b"1")
        .file("./a//b", b"2")
        .refusal();
    assert!(
        twice.contains("`a/b`") && twice.contains("twice"),
        "{twice}"
    );
}

#[test]
fn what_is_announced_too_large_is_refused_before_it_is_read() {
    let ten_gigabytes = 10 << 30;
    let refusal = Forged::default()
        .entry("huge", EntryType::Regular, ten_gigabytes, b"")
        .refusal();
    assert!(
        refusal.contains("`huge`") && refusal.contains("10737418240 bytes"),
        "{refusal}"
    );
    // Together, too.
    let half = vec![0; 600_000];
    let refusal = Forged::default()
        .file("a", &half)
        .file("b", &half)
        .refusal();
    assert!(refusal.contains("`b`"), "{refusal}");
    // A long name of GNU's, and attributes of POSIX's, that are said to be as long.
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        let mut forged = Forged::default();
        forged
            .entry("././@LongLink", kind, ten_gigabytes, b"x")
            .file("a", b"");
        assert!(forged.unpack().is_err(), "{kind:?}");
    }
}

#[test]
fn a_small_archive_of_very_much_is_refused() {
    let zeros = vec![0; 64 << 20];
    let mut tar = Forged::default();
    // The name goes on and on.
    tar.entry(
        "././@LongLink",
        EntryType::GNULongName,
        zeros.len() as u64,
        &zeros,
    );
    let packed = [zstd(&tar.0), gzip(&tar.0)];
    let after_the_end = zstd(&[&pack(&model()).unwrap(), &zeros[..]].concat());
    for bytes in packed.iter().chain([&after_the_end]) {
        assert!(bytes.len() < 1_000_000);
        let refusal = unpack(bytes, LIMIT).unwrap_err();
        assert!(
            matches!(
                refusal,
                ArchiveError::TooLarge {
                    what: "bytes",
                    limit: LIMIT
                }
            ),
            "{refusal}"
        );
    }
    let mut many = Forged::default();
    for number in 0..=MOST_ENTRIES {
        many.entry(&format!("d{number}"), EntryType::Directory, 0, b"");
    }
    let refusal = many.unpack().unwrap_err();
    assert!(
        matches!(
            refusal,
            ArchiveError::TooLarge {
                what: "entries",
                ..
            }
        ),
        "{refusal}"
    );
}

#[test]
fn long_names_and_comments_are_read_as_gnu_and_posix_have_them() {
    let long = format!("{}/saved_model.pb", "d".repeat(300));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, &long, &b"graph"[..])
        .unwrap();
    let gnu = builder.into_inner().unwrap();
    assert_eq!(
        unpack(&gnu, LIMIT).unwrap(),
        directory(&[(&long, b"graph")])
    );

    // POSIX.1-2017, pax Extended Header: "%d %s=%s\n", the length with itself.
    let record = format!("path={long}\n");
    let length = record.len() + 4;
    let record = format!("{length} {record}");
    assert_eq!(record.len(), length);
    let posix = Forged::default()
        .entry(
            "pax_global_header",
            EntryType::XGlobalHeader,
            20,
            b"20 comment=commit 1\n",
        )
        .entry("./", EntryType::Directory, 0, b"")
        .entry(
            "x",
            EntryType::XHeader,
            record.len() as u64,
            record.as_bytes(),
        )
        .file("short", b"graph")
        .unpack();
    assert_eq!(posix.unwrap(), directory(&[(&long, b"graph")]));

    let too_long = "d/".repeat(600) + "x";
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append_data(&mut header, &too_long, &b"graph"[..])
        .unwrap();
    let refusal = unpack(&builder.into_inner().unwrap(), LIMIT).unwrap_err();
    assert!(refusal.to_string().contains("longer than"), "{refusal}");
}

#[test]
fn the_directory_that_has_the_saved_model_is_found() {
    let inside = |prefix: &str| {
        let model = model();
        let files = model
            .files()
            .map(|(path, bytes)| (format!("{prefix}{path}"), bytes.to_vec()));
        Arc::new(Directory::new(files.collect()))
    };
    for prefix in ["", "1/", "wine/1/"] {
        assert_eq!(
            *saved_model(&inside(prefix)).unwrap(),
            model(),
            "in {prefix}"
        );
    }
    let two = directory(&[("1/saved_model.pb", b"a"), ("2/saved_model.pb", b"b")]);
    let found = saved_model(&Arc::new(two)).unwrap_err();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["1/", "2/"]);
    let none = directory(&[("not_a_saved_model.pb", b"a"), ("._saved_model.pb", b"b")]);
    assert!(saved_model(&Arc::new(none)).unwrap_err().is_empty());
}

/// Damaged archives are refused, or what is damaged was not the model.
fn is_refused_or_whole(bytes: &[u8]) -> bool {
    unpack(bytes, LIMIT).is_ok_and(|unpacked| unpacked == model()) || unpack(bytes, LIMIT).is_err()
}

#[test]
fn an_archive_that_is_cut_off_never_unpacks_to_less() {
    let packed = pack(&model()).unwrap();
    for bytes in [packed.to_vec(), zstd(&packed), gzip(&packed)] {
        for end in 0..bytes.len() {
            assert!(is_refused_or_whole(&bytes[..end]), "cut off at {end}");
        }
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_of_compressed_bytes_is_found(bit in any::<prop::sample::Index>()) {
        let packed = pack(&model()).unwrap();
        for mut bytes in [zstd(&packed), gzip(&packed)] {
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(is_refused_or_whole(&bytes), "bit {bit}");
        }
    }

    #[test]
    fn noise_does_not_panic(
        head in prop::sample::select(vec![&b""[..], b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08\x00"]),
        noise in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let bytes = [head, &noise].concat();
        let _ = is_archive(&bytes);
        let _ = unpack(&bytes, LIMIT);
    }

    #[test]
    fn no_path_leaves_the_directory(path in "[./\\\\a:C\u{e9}-]{1,40}") {
        if let Ok(unpacked) = Forged::default().file(&path, b"x").unpack() {
            for (path, _) in unpacked.files() {
                prop_assert!(!path.starts_with('/') && !path.contains('\\'));
                prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
    }
}
