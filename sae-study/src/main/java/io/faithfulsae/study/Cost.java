package io.faithfulsae.study;

/**
 * What one step of a study, or several, will cost.
 *
 * @param sampledTokens tokens that the model samples
 * @param harvestedTokens tokens run through the model for training, once for all SAEs
 * @param trainedSaes SAEs trained on them
 * @param hookTokens tokens run through the model up to the hook, including those for training
 * @param logitTokens tokens run from the hook to logits
 * @param bytes maximum disk space
 */
record Cost(
    long sampledTokens,
    long harvestedTokens,
    int trainedSaes,
    long hookTokens,
    long logitTokens,
    long bytes) {
  /** Too little to count. */
  static final Cost NONE = new Cost(0, 0, 0, 0, 0, 0);

  /** Of a token in a file: its id, and the few letters that it stands for. */
  private static final int TOKEN_BYTES = 12;

  static Cost ofSampling(long tokens) {
    return new Cost(tokens, 0, 0, 0, 0, tokens * TOKEN_BYTES);
  }

  static Cost ofText(long tokens) {
    return new Cost(0, 0, 0, 0, 0, tokens * TOKEN_BYTES);
  }

  static Cost ofTraining(long rows, int saes, long bytes) {
    return new Cost(0, rows, saes, rows, 0, bytes);
  }

  static Cost ofModel(long hookTokens, long logitTokens) {
    return new Cost(0, 0, 0, hookTokens, logitTokens, 0);
  }

  Cost plus(Cost other) {
    return new Cost(
        sampledTokens + other.sampledTokens,
        harvestedTokens + other.harvestedTokens,
        trainedSaes + other.trainedSaes,
        hookTokens + other.hookTokens,
        logitTokens + other.logitTokens,
        bytes + other.bytes);
  }
}
