//! Embeds the web page again when it has been built again.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Other profiles read it when it is asked for.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo:rerun-if-changed=../../../web/dist");
    }
}
