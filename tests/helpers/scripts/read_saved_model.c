/* Reads a SavedModel through TensorFlow's C API, which is what TensorFlow Serving's
 * loader comes down to, and runs it on the bytes of some files.
 *
 *     read_saved_model DIR INPUT CLASSES SCORES FILE...
 *
 * INPUT, CLASSES and SCORES are names of tensors, such as image_bytes:0; the files are
 * one batch. Prints, for each file, a line of class, tab, score, tab, class, ... */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

static TF_Status* status;

static void check(const char* what) {
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s: %s\n", what, TF_Message(status));
    exit(1);
  }
}

/* The output that a name such as image_bytes:0 means. */
static TF_Output find(TF_Graph* graph, const char* name) {
  char op[256];
  const char* colon = strrchr(name, ':');
  snprintf(op, sizeof op, "%.*s", (int)(colon - name), name);
  TF_Output output = {TF_GraphOperationByName(graph, op), atoi(colon + 1)};
  if (output.oper == NULL) {
    fprintf(stderr, "there is no %s\n", name);
    exit(1);
  }
  return output;
}

/* The files' contents as a tensor of strings [count]. */
static TF_Tensor* read_files(char** paths, int count) {
  int64_t shape[] = {count};
  TF_Tensor* tensor =
      TF_AllocateTensor(TF_STRING, shape, 1, count * sizeof(TF_TString));
  TF_TString* texts = TF_TensorData(tensor);
  for (int i = 0; i < count; ++i) {
    FILE* file = fopen(paths[i], "rb");
    if (file == NULL) {
      perror(paths[i]);
      exit(1);
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char* data = malloc(size + 1);
    if (fread(data, 1, size, file) != (size_t)size) {
      perror(paths[i]);
      exit(1);
    }
    fclose(file);
    TF_TString_Init(&texts[i]);
    TF_TString_Copy(&texts[i], data, size);
    free(data);
  }
  return tensor;
}

int main(int argc, char** argv) {
  if (argc < 6) {
    fprintf(stderr, "usage: %s DIR INPUT CLASSES SCORES FILE...\n", argv[0]);
    return 2;
  }
  status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1,
                                                     graph, NULL, status);
  check("load");
  TF_Output input = find(graph, argv[2]);
  TF_Output outputs[] = {find(graph, argv[3]), find(graph, argv[4])};
  TF_Tensor* fed = read_files(argv + 5, argc - 5);
  TF_Tensor* got[2];
  TF_SessionRun(session, NULL, &input, &fed, 1, outputs, got, 2, NULL, 0, NULL, status);
  check("run");
  const TF_TString* classes = TF_TensorData(got[0]);
  const float* scores = TF_TensorData(got[1]);
  int64_t rows = TF_Dim(got[0], 0), columns = TF_Dim(got[0], 1);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      printf("%s%.*s\t%.9g", i > row * columns ? "\t" : "",
             (int)TF_TString_GetSize(&classes[i]),
             TF_TString_GetDataPointer(&classes[i]), scores[i]);
    }
    printf("\n");
  }
  TF_CloseSession(session, status);
  check("close");
  return 0;
}
