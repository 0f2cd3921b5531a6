// Draws pictures with a bundle's SavedModel through TensorFlow's C API.
//
//   sample BUNDLE OUT.ppm [FIRST_SEED [COUNT [STEPS]]]
//
// The pictures are one below the other in one PPM file. If the model knows classes, the picture of seed s
// shows class s mod their number, as in diffkiln's own commands. A bundle of arrays that are no pictures
// needs OUT.npy, a NumPy file of float32 [COUNT, …] in the data's own units.

#include <charconv>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "tensorflow/c/c_api.h"
#include "tensorflow/core/protobuf/meta_graph.pb.h"

namespace {

template <auto Delete>
struct Deleter {
  template <typename T>
  void operator()(T* pointer) const {
    Delete(pointer);
  }
};
template <typename T, auto Delete>
using Owned = std::unique_ptr<T, Deleter<Delete>>;

using Status = Owned<TF_Status, TF_DeleteStatus>;
using Graph = Owned<TF_Graph, TF_DeleteGraph>;
using Buffer = Owned<TF_Buffer, TF_DeleteBuffer>;
using Options = Owned<TF_SessionOptions, TF_DeleteSessionOptions>;
using Tensor = Owned<TF_Tensor, TF_DeleteTensor>;

void Require(const TF_Status* status) {
  if (TF_GetCode(status) != TF_OK) throw std::runtime_error(TF_Message(status));
}

// What bundle.json says of steps, classes and conditions; there are 0 classes if it names none.
class Manifest {
 public:
  explicit Manifest(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!google::protobuf::util::JsonStringToMessage(text, &root_).ok())
      throw std::runtime_error(path + " is missing or is not JSON");
  }

  bool draws_arrays() const { return root_.fields().contains("array"); }
  bool has_conditions() const { return root_.fields().contains("conditions"); }
  std::int64_t classes() const { return Find("model", "class_names").list_value().values_size(); }
  std::int64_t steps() const {
    return static_cast<std::int64_t>(Find("sampler", "default_steps").number_value());
  }
  float guidance() const {
    return static_cast<float>(Find("sampler", "default_guidance").number_value());
  }

 private:
  const google::protobuf::Value& Find(const char* section, const char* key) const {
    static const google::protobuf::Value missing;
    const auto found = root_.fields().find(section);
    if (found == root_.fields().end()) return missing;
    const auto& fields = found->second.struct_value().fields();
    const auto value = fields.find(key);
    return value == fields.end() ? missing : value->second;
  }

  google::protobuf::Struct root_;
};

struct CloseSession {
  void operator()(TF_Session* session) const {
    Status status(TF_NewStatus());
    TF_DeleteSession(session, status.get());
  }
};

template <typename T>
Tensor Scalar(TF_DataType type, T value) {
  Tensor tensor(TF_AllocateTensor(type, nullptr, 0, sizeof(T)));
  std::memcpy(TF_TensorData(tensor.get()), &value, sizeof(T));
  return tensor;
}

Tensor Vector(const std::vector<std::int64_t>& values) {
  const auto count = static_cast<std::int64_t>(values.size());
  const std::size_t bytes = values.size() * sizeof(std::int64_t);
  Tensor tensor(TF_AllocateTensor(TF_INT64, &count, 1, bytes));
  std::memcpy(TF_TensorData(tensor.get()), values.data(), bytes);
  return tensor;
}

// A signature's inputs, by name.
using Inputs = std::map<std::string, Tensor>;

// seeds int64 [N] and steps int64 []; if the model knows classes, also labels int64 [N] and guidance
// float32 [].
Inputs InputsFor(const std::vector<std::int64_t>& seeds, std::int64_t steps, const Manifest& manifest) {
  Inputs inputs;
  inputs["seeds"] = Vector(seeds);
  inputs["steps"] = Scalar(TF_INT64, steps);
  if (const std::int64_t classes = manifest.classes(); classes > 0) {
    std::vector<std::int64_t> labels(seeds);
    for (std::int64_t& label : labels) label %= classes;
    inputs["labels"] = Vector(labels);
    inputs["guidance"] = Scalar(TF_FLOAT, manifest.guidance());
  }
  return inputs;
}

// A SavedModel, and its signature's names for tensors of its graph.
class SavedModel {
 public:
  explicit SavedModel(const std::string& folder) {
    Options options(TF_NewSessionOptions());
    Buffer meta_graph(TF_NewBuffer());
    const char* tags[] = {"serve"};
    session_.reset(TF_LoadSessionFromSavedModel(options.get(), nullptr, folder.c_str(), tags, 1,
                                                graph_.get(), meta_graph.get(), status_.get()));
    Require(status_.get());
    tensorflow::MetaGraphDef parsed;
    parsed.ParseFromArray(meta_graph->data, static_cast<int>(meta_graph->length));
    signature_ = parsed.signature_def().at("serving_default");
  }

  // Returns the output "images" uint8 [N, H, W, C], or "samples" float32 [N, …], for the inputs that the
  // signature names.
  Tensor Sample(const Inputs& given, const std::string& name) {
    std::vector<TF_Output> inputs;
    std::vector<TF_Tensor*> values;
    for (const auto& [input, tensor] : given) {
      inputs.push_back(Find(signature_.inputs().at(input).name()));
      values.push_back(tensor.get());
    }
    const TF_Output output = Find(signature_.outputs().at(name).name());
    TF_Tensor* samples = nullptr;
    TF_SessionRun(session_.get(), nullptr, inputs.data(), values.data(),
                  static_cast<int>(values.size()), &output, &samples, 1, nullptr, 0, nullptr,
                  status_.get());
    Require(status_.get());
    return Tensor(samples);
  }

 private:
  // "operation:index" in the graph.
  TF_Output Find(const std::string& name) const {
    const std::size_t colon = name.rfind(':');
    TF_Operation* operation =
        TF_GraphOperationByName(graph_.get(), name.substr(0, colon).c_str());
    if (operation == nullptr) throw std::runtime_error("the graph has no " + name);
    return {operation, std::stoi(name.substr(colon + 1))};
  }

  Status status_{TF_NewStatus()};
  Graph graph_{TF_NewGraph()};
  std::unique_ptr<TF_Session, CloseSession> session_;
  tensorflow::SignatureDef signature_;
};

// Writes the numbers of a tensor after what is in the file already.
void WriteNumbers(std::ofstream& file, const std::string& path, const TF_Tensor* tensor) {
  file.write(static_cast<const char*>(TF_TensorData(tensor)),
             static_cast<std::streamsize>(TF_TensorByteSize(tensor)));
  file.close();
  if (!file) throw std::runtime_error(path + " could not be written");
}

// Writes the pictures one below the other.
void WritePpm(const std::string& path, const TF_Tensor* images) {
  const std::int64_t height = TF_Dim(images, 0) * TF_Dim(images, 1);
  if (TF_TensorType(images) != TF_UINT8 || TF_Dim(images, 3) != 3)
    throw std::runtime_error("expected a bundle of RGB images with --image_dtype=uint8");
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << TF_Dim(images, 2) << ' ' << height << "\n255\n";
  WriteNumbers(file, path, images);
}

// Writes the samples as a NumPy file, version 1.0.
void WriteNpy(const std::string& path, const TF_Tensor* samples) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (int axis = 0; axis < TF_NumDims(samples); ++axis)
    header += std::to_string(TF_Dim(samples, axis)) + ", ";
  header += "), }";
  header.resize((header.size() + 74) / 64 * 64 - 11, ' ');  // numbers begin at a multiple of 64 bytes
  header += '\n';
  std::ofstream file(path, std::ios::binary);
  file << "\x93NUMPY\x01" << '\0' << static_cast<char>(header.size() % 256)
       << static_cast<char>(header.size() / 256) << header;
  WriteNumbers(file, path, samples);
}

// A whole number from 0, or for counts and steps from 1, to `most`.
std::int64_t Whole(const std::string& text, const std::string& name, std::int64_t most) {
  const std::int64_t least = name == "FIRST_SEED" ? 0 : 1;
  std::int64_t value = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < least || value > most)
    throw std::runtime_error(name + "=" + text + ": expected a whole number from " +
                             std::to_string(least) + " to " + std::to_string(most));
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 6) {
    std::cerr << "usage: sample BUNDLE OUT.ppm [FIRST_SEED [COUNT [STEPS]]]\n";
    return 2;
  }
  try {
    const auto number = [&](int place, const char* name, std::int64_t otherwise, std::int64_t most) {
      return argc > place ? Whole(argv[place], name, most) : otherwise;
    };
    const std::int64_t count = number(4, "COUNT", 4, 4096);
    std::vector<std::int64_t> seeds(static_cast<std::size_t>(count));
    const std::int64_t last = std::numeric_limits<std::int64_t>::max();
    std::iota(seeds.begin(), seeds.end(), number(3, "FIRST_SEED", 0, last - (count - 1)));
    const std::int64_t asked = number(5, "STEPS", 0, 1000);
    const std::string bundle = argv[1], out = argv[2];
    const Manifest manifest(bundle + "/bundle.json");
    if (manifest.has_conditions())
      throw std::runtime_error("the model takes conditions, which this program cannot give");
    if (manifest.draws_arrays() && std::filesystem::path(out).extension() != ".npy")
      throw std::runtime_error(out + ": the bundle draws arrays that are no pictures, expected OUT.npy");
    SavedModel model(bundle + "/saved_model");
    const std::int64_t steps = asked > 0 ? asked : manifest.steps();
    const Inputs inputs = InputsFor(seeds, steps, manifest);
    if (manifest.draws_arrays())
      WriteNpy(out, model.Sample(inputs, "samples").get());
    else
      WritePpm(out, model.Sample(inputs, "images").get());
  } catch (const std::exception& error) {
    std::cerr << "sample: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
