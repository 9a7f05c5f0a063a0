//! One connection against a raw peer, section by section of RFC 9113; each limit; time; two connections against each
//! other.

mod calls;
mod lessons;
mod limits;
mod pair;
mod section_3_4_preface;
mod section_4_frames;
mod section_5_1_stream_states;
mod section_6_1_data;
mod section_6_5_settings;
mod section_6_7_ping;
mod section_6_8_goaway;
mod section_6_9_window_update;
mod section_6_headers_and_streams;
mod section_8_messages;
mod support;
mod time;
