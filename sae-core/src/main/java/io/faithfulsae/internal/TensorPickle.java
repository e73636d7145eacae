package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads a pickle of tensors, numbers, strings, lists and dicts, as {@code torch.save} writes a
 * state dict. A pickle is a program for a machine with a stack; this machine knows the instructions
 * that such a dict needs, and the names in {@link PickleGlobal}. It looks up no classes and calls
 * nothing. Memory is bounded by the pickle's length, which its caller bounds; values are built
 * without recursion, and may be compared or printed only if they are strings or numbers.
 *
 * <p>Values are {@link Long}, {@link Double}, {@link Boolean}, {@link String}, {@link None}, {@link
 * List} (tuples too), {@link Map} and {@link StoredTensor}. The format: {@code pickletools.py} of
 * CPython.
 */
final class TensorPickle {
  private static final int MAX_STACK = 10_000;
  private static final int MAX_MARKS = 64;
  private static final String SAFE =
      "nothing was executed; ask whoever wrote it for a safetensors file";

  private final Path file;
  private final ByteBuffer in;
  private final Storages storages;
  private final List<Object> stack = new ArrayList<>();
  private final List<Integer> marks = new ArrayList<>();
  private final Map<Long, Object> memo = new HashMap<>();

  /** Python's {@code None}. */
  enum None {
    /** Python's {@code None}. */
    NONE
  }

  /** Makes tensors of what a pickle says about them. */
  interface Storages {
    /** A storage, named by the pickle's {@code ('storage', type, key, device, elements)}. */
    Object storage(List<?> id) throws SaeFormatException;

    /** A tensor, from {@code (storage, offset, shape, strides, …)}. */
    StoredTensor tensor(List<?> arguments) throws SaeFormatException;
  }

  private TensorPickle(Path file, ByteBuffer pickle, Storages storages) {
    this.file = file;
    this.in = pickle.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    this.storages = storages;
  }

  /**
   * Reads a pickle.
   *
   * @param file for messages
   * @throws SaeFormatException if it is damaged, or contains anything but tensors and plain values
   */
  static Object read(Path file, ByteBuffer pickle, Storages storages) throws SaeFormatException {
    TensorPickle machine = new TensorPickle(file, pickle, storages);
    try {
      while (machine.step()) {
        machine.checkDepth();
      }
      return machine.pop();
    } catch (BufferUnderflowException | IndexOutOfBoundsException e) {
      throw machine.damaged("one that ends early, or takes what is not there");
    }
  }

  /** Performs an instruction; false if it was the last one. */
  private boolean step() throws SaeFormatException {
    int code = in.get() & 0xff;
    switch (code) {
      case 0x80 -> in.get(); // PROTO
      case 0x95 -> in.getLong(); // FRAME
      case '.' -> {
        return false; // STOP
      }
      case '(' -> marks.add(stack.size());
      case '0' -> pop();
      case 'N' -> push(None.NONE);
      case 0x88, 0x89 -> push(code == 0x88);
      case 'J' -> push((long) in.getInt());
      case 'K' -> push((long) (in.get() & 0xff));
      case 'M' -> push((long) (in.getShort() & 0xffff));
      case 0x8a -> push(longInteger());
      case 'G' -> push(in.duplicate().order(ByteOrder.BIG_ENDIAN).getDouble(skip(8)));
      case 'X' -> push(text(in.getInt()));
      case 0x8c -> push(text(in.get() & 0xff));
      case ']' -> push(new ArrayList<>());
      case '}' -> push(new LinkedHashMap<>());
      case ')' -> push(List.of());
      case 't' -> push(List.copyOf(popToMark()));
      case 0x85, 0x86, 0x87 -> push(List.copyOf(popLast(code - 0x84)));
      case 'a' -> append(popLast(1));
      case 'e' -> append(popToMark());
      case 's' -> setItems(popLast(2));
      case 'u' -> setItems(popToMark());
      case 'q' -> memo.put((long) (in.get() & 0xff), top());
      case 'r' -> memo.put(in.getInt() & 0xffffffffL, top());
      case 0x94 -> memo.put((long) memo.size(), top());
      case 'h' -> push(recall(in.get() & 0xff));
      case 'j' -> push(recall(in.getInt() & 0xffffffffL));
      case 'c' -> push(global(line(), line()));
      case 0x93 -> {
        List<Object> names = popLast(2);
        push(global(cast(String.class, names.get(0)), cast(String.class, names.get(1))));
      }
      case 'Q' -> push(storages.storage(cast(List.class, pop())));
      case 'R' -> call();
      case 'b' -> build();
      default -> throw refused("instruction 0x" + Integer.toHexString(code));
    }
    return true;
  }

  private Object global(String module, String name) throws SaeFormatException {
    Object global = PickleGlobal.find(module, name);
    if (global == null) {
      throw refused("a pickle that calls " + PickleText.printable(module + "." + name));
    }
    return global;
  }

  private void call() throws SaeFormatException {
    List<?> arguments = cast(List.class, pop());
    Object callee = pop();
    if (!(callee instanceof PickleGlobal global)) {
      throw refused("a call of " + kind(callee));
    }
    switch (global) {
      case ORDERED_DICT -> {
        if (!arguments.isEmpty()) { // a few bytes could copy a large list again and again
          throw refused("an OrderedDict that is made of a list");
        }
        push(new LinkedHashMap<>());
      }
      case TENSOR -> push(storages.tensor(arguments));
      case PARAMETER -> push(cast(StoredTensor.class, arguments.get(0)));
      case SIZE -> push(cast(List.class, arguments.get(0)));
    }
  }

  /** A state dict has an attribute with the versions of its modules, which changes no tensor. */
  private void build() throws SaeFormatException {
    cast(Map.class, pop());
    if (!(top() instanceof Map)) {
      throw refused("an object with attributes");
    }
  }

  @SuppressWarnings("unchecked") // every list on the stack is one of objects
  private void append(List<Object> items) throws SaeFormatException {
    if (!(top() instanceof ArrayList)) {
      throw damaged("one that appends to " + kind(top()));
    }
    ((List<Object>) top()).addAll(items);
  }

  @SuppressWarnings("unchecked") // every map on the stack is one of objects
  private void setItems(List<Object> flat) throws SaeFormatException {
    Map<Object, Object> map = cast(Map.class, top());
    for (int i = 0; i < flat.size(); i += 2) {
      if (!(flat.get(i) instanceof String) && !(flat.get(i) instanceof Long)) {
        throw refused("a dict with " + kind(flat.get(i)) + " as a key");
      }
      map.put(flat.get(i), flat.get(i + 1));
    }
  }

  /** Little-endian, in two's complement, of any length. */
  private long longInteger() throws SaeFormatException {
    int length = in.get() & 0xff;
    if (length > Long.BYTES) {
      throw refused("a whole number of " + length + " bytes");
    }
    long value = 0;
    int bits = 0;
    for (; bits < 8 * length; bits += 8) {
      value |= (in.get() & 0xffL) << bits;
    }
    return bits == 0 ? 0 : value << (64 - bits) >> (64 - bits);
  }

  private String text(int length) throws SaeFormatException {
    if (length < 0 || length > in.remaining()) {
      throw damaged("text of " + Integer.toUnsignedString(length) + " bytes");
    }
    byte[] bytes = new byte[length];
    in.get(bytes);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  private String line() {
    StringBuilder line = new StringBuilder();
    for (byte next = in.get(); next != '\n'; next = in.get()) {
      line.append((char) (next & 0xff));
    }
    return line.toString();
  }

  private int skip(int bytes) {
    int at = in.position();
    in.position(Math.min(at + bytes, in.limit()));
    return at;
  }

  private Object recall(long number) throws SaeFormatException {
    Object value = memo.get(number);
    if (value == null) {
      throw damaged("a reference to a value that was not stored");
    }
    return value;
  }

  private void push(Object value) {
    stack.add(value);
  }

  private Object top() {
    return stack.get(stack.size() - 1);
  }

  private Object pop() {
    return stack.remove(stack.size() - 1);
  }

  private List<Object> popToMark() {
    return popLast(stack.size() - marks.remove(marks.size() - 1));
  }

  private List<Object> popLast(int count) {
    if (count < 0) { // what the mark was set above has been taken
      throw new IndexOutOfBoundsException(count);
    }
    List<Object> tail = stack.subList(stack.size() - count, stack.size());
    List<Object> result = new ArrayList<>(tail);
    tail.clear();
    return result;
  }

  private void checkDepth() throws SaeFormatException {
    if (stack.size() > MAX_STACK || marks.size() > MAX_MARKS) {
      throw refused("values nested too deeply");
    }
  }

  private <T> T cast(Class<T> type, Object value) throws SaeFormatException {
    if (!type.isInstance(value)) {
      throw damaged(kind(value) + " where " + type.getSimpleName() + " belongs");
    }
    return type.cast(value);
  }

  private static String kind(Object value) {
    return "a value of type " + value.getClass().getSimpleName();
  }

  private SaeFormatException refused(String got) {
    return new SaeFormatException(
        file, "pickle", Expected.message("only tensors and plain values", got, SAFE));
  }

  private SaeFormatException damaged(String got) {
    return new SaeFormatException(
        file, "pickle", Expected.message("a whole pickle", got, "fetch the file again"));
  }
}
