//! Native backend.
