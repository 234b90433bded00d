#[test]
fn big() {
    let begun = std::time::Instant::now();
    let files = tensor::Directory::open(std::path::Path::new("/tmp/savedmodel/big/resnet"), 1 << 30).unwrap();
    println!("ODD read {:?}", begun.elapsed());
    let graph = tensor::Graph::from_saved_model(&files, &Default::default());
    println!("ODD {:?} {:?}", begun.elapsed(), graph.map_err(|e| e.to_string()));
}
