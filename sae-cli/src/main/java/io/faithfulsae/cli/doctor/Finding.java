package io.faithfulsae.cli.doctor;

/**
 * One thing that was looked at.
 *
 * @param status how it is
 * @param what was looked at
 * @param found what there is
 * @param advice what to do about it; empty if nothing
 */
public record Finding(Status status, String what, String found, String advice) {

  /** How a thing is. */
  public enum Status {
    /** As it should be. */
    OK,
    /** Works; something could be better, or is missing that not everybody needs. */
    NOTE,
    /** Does not work. */
    PROBLEM
  }

  static Finding ok(String what, String found) {
    return new Finding(Status.OK, what, found, "");
  }

  static Finding note(String what, String found, String advice) {
    return new Finding(Status.NOTE, what, found, advice);
  }

  static Finding problem(String what, String found, String advice) {
    return new Finding(Status.PROBLEM, what, found, advice);
  }
}
