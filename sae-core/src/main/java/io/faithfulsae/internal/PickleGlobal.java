package io.faithfulsae.internal;

import io.faithfulsae.internal.TensorPickle.None;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The only names that a pickle of tensors may refer to. Each stands for itself: no class is looked
 * up, and what "calling" one means is written in {@link TensorPickle}.
 */
enum PickleGlobal {
  /** A dict. */
  ORDERED_DICT("collections.OrderedDict"),
  /** A view of a storage. */
  TENSOR("torch._utils._rebuild_tensor_v2"),
  /** A tensor that is trained. */
  PARAMETER("torch._utils._rebuild_parameter"),
  /** A shape. */
  SIZE("torch.Size");

  /** Element types by the class that a storage names. */
  private static final Map<String, TorchType> STORAGES =
      Map.ofEntries(
          Map.entry("torch.DoubleStorage", TorchType.FLOAT64),
          Map.entry("torch.FloatStorage", TorchType.FLOAT32),
          Map.entry("torch.HalfStorage", TorchType.FLOAT16),
          Map.entry("torch.BFloat16Storage", TorchType.BFLOAT16),
          Map.entry("torch.LongStorage", TorchType.INT64),
          Map.entry("torch.IntStorage", TorchType.INT32),
          Map.entry("torch.ShortStorage", TorchType.INT16),
          Map.entry("torch.CharStorage", TorchType.INT8),
          Map.entry("torch.ByteStorage", TorchType.UINT8),
          Map.entry("torch.BoolStorage", TorchType.BOOL));

  private final String python;

  PickleGlobal(String python) {
    this.python = python;
  }

  /**
   * What a name stands for: one of these, or a {@link TorchType} for the class of a storage.
   *
   * @return null if it is not allowed
   */
  static @Nullable Object find(String module, String name) {
    String full = module + "." + name;
    for (PickleGlobal global : values()) {
      if (global.python.equals(full)) {
        return global;
      }
    }
    // a dtype in a configuration says nothing that the storages do not say
    return full.matches("torch\\.(float|bfloat|int|uint)\\d+") ? None.NONE : STORAGES.get(full);
  }
}
