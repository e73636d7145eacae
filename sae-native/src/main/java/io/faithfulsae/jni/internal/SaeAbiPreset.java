package io.faithfulsae.jni.internal;

import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;
import org.bytedeco.javacpp.tools.InfoMap;
import org.bytedeco.javacpp.tools.InfoMapper;

/** Tells JavaCPP how to generate {@code SaeAbi} from sae_abi.h; run by build-bindings.sh. */
@Properties(
    value = @Platform(value = "linux-x86_64", include = "sae_abi.h", link = "sae"),
    global = "io.faithfulsae.jni.internal.SaeAbi")
@NoException // no C++ exception crosses sae_abi.h
public class SaeAbiPreset implements InfoMapper {

  /** For JavaCPP. */
  public SaeAbiPreset() {}

  @Override
  public void map(InfoMap infoMap) {}
}
