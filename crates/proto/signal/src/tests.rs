//! Conferences in virtual time with scripted clients. The order of what is said is checked on every output
//! ([`world`]), whatever a test is about.

mod admin;
mod audio;
mod backup;
mod bandwidth;
mod crowd;
mod data;
mod data_tracks;
mod dual;
mod floods;
mod forwarding;
mod hostile;
mod life;
mod moving;
mod playing;
mod publishing;
mod quality;
mod random;
mod reliable;
mod resume;
mod single;
mod whip;
mod world;
