package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.Prefix;
import java.lang.reflect.Method;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** An option that is only added to {@link StepConfig} would be ignored. */
final class TrainerOptionsTest {

  @Test
  void everyOptionOfAStepReachesNativeCode() throws ReflectiveOperationException {
    Map<Integer, Double> defaults = values(StepConfig.builder().build());
    Set<Integer> reached = new TreeSet<>();
    int options = 0;
    for (Method method : StepConfig.Options.class.getMethods()) {
      if (method.getDeclaringClass() != StepConfig.Options.class
          || method.getName().equals("step")) {
        continue;
      }
      options++;
      if (method.getName().equals("prefixes")) { // how many, and two keys for each
        Map<Integer, Double> given =
            values(StepConfig.builder().prefixes(List.of(new Prefix(7, 0.25))).build());
        given.keySet().removeAll(defaults.keySet());
        assertEquals(
            Map.of(SaeAbi.SAE_OPT_PREFIX_LATENTS, 7.0, SaeAbi.SAE_OPT_PREFIX_WEIGHT, 0.25), given);
        reached.add(SaeAbi.SAE_OPT_PREFIXES);
        continue;
      }
      Set<Integer> changed = new TreeSet<>();
      for (Object value : valuesOf(method.getParameterTypes()[0])) {
        StepConfig.Builder builder = StepConfig.builder();
        method.invoke(builder, value);
        Map<Integer, Double> given = values(builder.build());
        defaults.forEach(
            (key, initial) -> {
              if (!initial.equals(given.get(key))) {
                changed.add(key);
              }
            });
      }
      assertEquals(1, changed.size(), method.getName() + " changes the keys " + changed);
      reached.addAll(changed);
    }
    assertTrue(options >= 16, "options found: " + options);
    assertEquals(options, reached.size(), "each has a key of its own");
    assertEquals(options + 3, defaults.size(), "besides rule, k and what gradients are kept");
  }

  private static Object[] valuesOf(Class<?> type) {
    if (type.isEnum()) {
      return type.getEnumConstants();
    }
    return switch (type.getName()) {
      case "boolean" -> new Object[] {true, false};
      case "int" -> new Object[] {7};
      case "long" -> new Object[] {7L};
      case "double" -> new Object[] {0.25};
      default -> throw new IllegalArgumentException("an option of another type: " + type);
    };
  }

  private static Map<Integer, Double> values(StepConfig config) {
    TrainerOptions options = TrainerOptions.of(Selection.topK(3), config, Gradients.NONE);
    Map<Integer, Double> values = new TreeMap<>();
    for (int i = 0; i < options.count(); i++) {
      values.put(options.keys()[i], options.values()[i]);
    }
    return values;
  }
}
