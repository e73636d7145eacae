/** A program on the module path; without this file, the same program is on the class path. */
module com.example.consumer {
  requires com.fasterxml.jackson.core; // to say which one it is
  requires io.faithfulsae.core;
  requires io.faithfulsae.metrics;
  requires io.faithfulsae.models;
  requires io.faithfulsae.study;
}
