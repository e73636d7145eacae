package io.faithfulsae.training;

import java.time.Duration;

/**
 * Progress of a run after a step.
 *
 * @param step steps completed
 * @param steps total steps of the run
 * @param tokens rows trained on so far
 * @param loss total loss of this step
 * @param fvu fraction of variance unexplained of this step's batch
 * @param l0 mean number of active latents per row
 * @param dead number of dead latents after this step
 * @param tokensPerSecond rows per second since the run was started or resumed
 * @param eta estimated remaining time
 */
public record TrainingProgress(
    long step,
    long steps,
    long tokens,
    double loss,
    double fvu,
    double l0,
    long dead,
    double tokensPerSecond,
    Duration eta) {}
