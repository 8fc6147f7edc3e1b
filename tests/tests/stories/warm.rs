//! The same look twice costs no traffic, also after a restart; a changed option costs its difference.

use fyteclub_tests::{
    Town,
    mods::{self, Mod, arrived, assert_same},
};

#[tokio::test]
async fn the_same_look_again_is_no_traffic() {
    let town = Town::new().await;
    let (alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let (pink, blue) = (mods::noise(7, 300_000), mods::noise(8, 400_000));
    let look = Mod::new(town.path("mod"))
        .file("chara/large.tex", &mods::noise(1, 5_000_000))
        .file("chara/small.tex", &mods::noise(2, 5_000))
        .option("Colour", "Pink", "chara/colour.tex", &pink)
        .option("Colour", "Blue", "chara/colour.tex", &blue)
        .write();
    let published = alice.publish(&look.folder).await;
    let first = bob.fetch(&alice.player).await;
    assert!(first.bytes_transferred >= 5_305_000 && first.path.is_some(), "{first:?}");

    let second = bob.fetch(&alice.player).await;
    assert_eq!((second.bytes_transferred, second.bytes_fetched), (0, 0));
    assert_eq!((second.appearance, second.path), (published.appearance, None));

    // Publishing the same look again is the same look.
    assert_eq!(alice.publish(&look.folder).await.appearance, published.appearance);

    bob.client().shutdown().await.expect("it stops");
    bob.process().ended().await;
    bob.start().await;
    let restarted = bob.fetch(&alice.player).await;
    assert_eq!((restarted.bytes_transferred, restarted.bytes_fetched), (0, 0));
    assert_same(&arrived(&restarted), &look.content);

    let changed = alice.publish_with(&look.folder, &[("Colour", "Blue")]).await;
    assert_ne!(changed.appearance, published.appearance);
    let difference = bob.fetch(&alice.player).await;
    assert_eq!((difference.appearance, difference.bytes_fetched), (changed.appearance, 400_000));
    let mut expected = look.content.clone();
    expected.insert("chara/colour.tex".into(), blue);
    assert_same(&arrived(&difference), &expected);

    alice.publish(&look.folder).await;
    let back = bob.fetch(&alice.player).await;
    assert_eq!((back.appearance, back.bytes_fetched), (published.appearance, 0));
}
