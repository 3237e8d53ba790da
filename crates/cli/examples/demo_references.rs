//! Rewrites the references that the demo has checked in.

use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let references = tocsin::demo_references()?;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/references.json.gz");
    let mut file = flate2::write::GzEncoder::new(std::fs::File::create(path)?, flate2::Compression::best());
    file.write_all(&serde_json::to_vec(&references)?)?;
    file.finish()?;
    Ok(())
}
