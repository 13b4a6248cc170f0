//! Parts of many files over one stream.

use rushes_shared::wire::{PARTS_BYTES, Part, PartsOf};

use super::*;

fn at(offset: u64, length: u64) -> Part {
    Part::From { offset, length }
}

fn of(location: &Location, parts: &[Part]) -> PartsOf {
    PartsOf { location: location.clone(), parts: parts.to_vec() }
}

#[tokio::test]
async fn parts_of_many_files_come_in_order_and_what_is_wrong_with_one_is_its_own() {
    let stage = Stage::new();
    let long: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(stage.path("in/long"), &long).expect("written");
    fs::write(stage.path("in/short"), b"short").expect("written");
    let (a, b, none) = (stage.input("in/long"), stage.input("in/short"), stage.input("in/none"));
    let ticket = stage.sign(Grant::ReadAny(vec![a.clone(), b.clone(), none.clone()]));
    let end = Part::End { length: 7 };
    let wanted = vec![of(&a, &[at(10, 2_000_000), end]), of(&none, &[at(0, 1)]), of(&b, &[at(1, 50), end])];
    let came = stage.client.read_parts(wanted.clone(), &ticket).await.expect("they come");
    let parts: Vec<_> = came.iter().map(|came| came.as_ref().map(|came| came.parts.clone())).collect();
    let whole = long.len() as u64;
    assert!(
        parts[0]
            == Ok(vec![(10, long[10..2_000_010].to_vec()), (whole - 7, long[long.len() - 7..].to_vec())])
    );
    assert_eq!(parts[1].as_ref().expect_err("missing").code, FailureCode::InputNotFound);
    assert_eq!(parts[2], Ok(vec![(1, b"hort".to_vec()), (0, b"short".to_vec())]));

    let stamps = |came: &[Result<rushes_net::bulk::Parts, Failure>]| {
        came.iter().filter_map(|came| Some(came.as_ref().ok()?.stamp)).collect::<Vec<_>>()
    };
    let before = stamps(&came);
    fs::write(stage.path("in/short"), b"trohs").expect("written");
    let after = stamps(&stage.client.read_parts(wanted, &ticket).await.expect("they come"));
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1], "it has changed");
}

#[tokio::test]
async fn parts_are_permitted_like_files_and_bounded() {
    let stage = Stage::new();
    fs::write(stage.path("in/a"), b"a").expect("written");
    fs::write(stage.path("in/b"), b"b").expect("written");
    fs::write(stage.path("outside/secret"), b"secret").expect("written");
    let (a, b, outside) = (stage.input("in/a"), stage.input("in/b"), stage.input("outside/secret"));
    let ask =
        async |files: Vec<PartsOf>, grant: Grant| stage.client.read_parts(files, &stage.sign(grant)).await;
    let one = [at(0, 1)];
    let refused = ask(vec![of(&a, &one), of(&b, &one)], Grant::ReadAny(vec![a.clone()])).await;
    assert!(refused.expect_err("refused").to_string().contains("does not permit"));
    let refused = ask(vec![of(&b, &one)], Grant::Read(a.clone())).await;
    assert!(refused.expect_err("refused").to_string().contains("does not permit"));
    let came = ask(vec![of(&outside, &one)], Grant::ReadAny(vec![outside.clone()])).await.expect("answered");
    assert_eq!(came[0].as_ref().expect_err("outside").code, FailureCode::OutsideRoots);
    let much = vec![of(&a, &[at(0, PARTS_BYTES), at(0, 1)])];
    assert_eq!(
        ask(much, Grant::Read(a.clone())).await.expect_err("too much").code,
        FailureCode::LimitReached
    );
}
