package io.faithfulsae.jni.internal;

import io.faithfulsae.spi.BackendProvider.Availability;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Skips tests where the CUDA backend cannot run, and reports why. With {@code -Dsae.backend=cuda}
 * they run, and fail with that reason.
 */
public final class RequiresGpu implements ExecutionCondition {
  @Override
  public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
    Availability availability = new CudaBackendProvider().probe();
    return availability.usable() || "cuda".equals(System.getProperty("sae.backend"))
        ? ConditionEvaluationResult.enabled(availability.reason())
        : ConditionEvaluationResult.disabled(availability.reason());
  }
}
